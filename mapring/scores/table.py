"""Read the scores table: which files it has, of which inputs their rows are, and what its newest scoring was."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.errors import StageError
from mapring.scores.migrations import why_not
from mapring.scores.seal import sealed_versions
from mapring.scores.statistics import KEY_COLUMNS, ScoredInput, inputs_of, only_input

if TYPE_CHECKING:
    from deltalake import DeltaTable

_READERS = 8


@dataclass(frozen=True, kw_only=True)
class LiveFile:
    """A file of the table; `failed` is how many of its rows have an error."""

    path: str
    bytes: int
    rows: int
    failed: int
    inputs: frozenset[ScoredInput]


@dataclass(frozen=True, kw_only=True)
class ScoringCommit:
    """One scoring, from the metadata of its commit; `counts` has `read`, `scored`, and `errors` by rule."""

    version: int
    committed_at: str
    model: str
    run_id: str
    documents_per_second: float
    counts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ScoresTable:
    """The table at one version."""

    uri: str
    version: int
    columns: tuple[str, ...]
    files: tuple[LiveFile, ...]

    @property
    def inputs(self) -> dict[tuple[str, str], ScoredInput]:
        """What the rows of each input were made with, by source and path."""
        return {found.key: found for file in self.files for found in file.inputs}

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def failed(self) -> int:
        """Rows that have an error in place of a score."""
        return sum(file.failed for file in self.files)

    @property
    def models(self) -> list[str]:
        """Fingerprints of the models that rows of the table come from."""
        return sorted({found.model for file in self.files for found in file.inputs})


def read_table(uri: str, damaged: list[str] | None = None) -> ScoresTable | None:
    """The table as it stands; None where there is none.

    Args:
        uri: of the table.
        damaged: gets what is wrong with files that cannot be read and that the table is then given without.

    Raises:
        StageError: it is no table of ours, or a file cannot be read and `damaged` is None.
    """
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(uri):
        return None
    delta = DeltaTable(uri)
    columns = tuple(field.name for field in delta.schema().fields)
    if not set(KEY_COLUMNS).issubset(columns):
        raise StageError(f"{uri}: {why_not(columns)}")
    entries = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda entry: _live_file(uri, entry), entries))
    files = [file for file in found if isinstance(file, LiveFile)]
    problems = [problem for problem in found if isinstance(problem, str)]
    if damaged is not None:
        damaged.extend(problems)
    elif problems:
        raise StageError(problems[0])
    return ScoresTable(
        uri=uri,
        version=delta.version(),
        columns=columns,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _live_file(uri: str, entry: Mapping[str, Any]) -> LiveFile | str:
    """A file as the log has it, or as its rows tell; what is wrong with it where those are needed and damaged."""
    one = only_input(entry)
    failed = entry.get("null_count.error")
    if one is None or failed is None or entry.get("num_records") is None:  # rows of several inputs, or not ours
        place = storage.join(uri, entry["path"])
        try:
            with storage.open_read(place) as handle:
                rows = pq.read_table(handle, columns=[*KEY_COLUMNS, "error"])
            found, count, failed = inputs_of(rows), rows.num_rows, rows.num_rows - rows.column("error").null_count
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            told = (str(error) or "nothing more is known").splitlines()[0]
            return (
                f"{place}: is missing or cannot be read ({told}), so it is not known of which inputs its rows are; "
                "bring it back from a copy, or go back to a version without it: mapring scores rollback"
            )
    else:
        found, count = frozenset({one}), entry["num_records"]
        failed = count - failed
    return LiveFile(path=entry["path"], bytes=entry["size_bytes"], rows=count, failed=failed, inputs=found)


def is_sealed(table: ScoresTable) -> bool:
    """Whether the newest scoring of a table was also sealed, which is its last step."""
    commit = latest_commit(table.uri)
    return commit is None or commit.version in sealed_versions(table.uri)


def unsealed_scorings(uri: str) -> list[int]:
    """Versions of scorings without a seal, as far back as the log goes."""
    from deltalake import DeltaTable

    sealed = sealed_versions(uri)
    ours = [entry["version"] for entry in DeltaTable(uri).history() if "mapring.run_id" in entry]
    return [version for version in ours if version not in sealed]


def latest_commit(uri: str) -> ScoringCommit | None:
    """The newest scoring, or None where there is no table or its log knows none any more."""
    from deltalake import DeltaTable

    return _latest(DeltaTable(uri)) if DeltaTable.is_deltatable(uri) else None


def _latest(delta: DeltaTable) -> ScoringCommit | None:
    for entry in delta.history():
        if "mapring.run_id" in entry:
            return _commit(entry)
    return None


def _commit(entry: Mapping[str, Any]) -> ScoringCommit:
    committed = datetime.datetime.fromtimestamp(entry["timestamp"] / 1000, datetime.UTC)
    return ScoringCommit(
        version=entry["version"],
        committed_at=committed.isoformat(timespec="seconds"),
        model=entry["mapring.model"],
        run_id=entry["mapring.run_id"],
        documents_per_second=float(entry["mapring.docs_per_second"]),
        counts=json.loads(entry["mapring.counts"]),
    )
