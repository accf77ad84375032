"""The log of alerts: one small file for each, numbered, created if absent and never overwritten.

    <run_dir>/alerts/log/00000017.json

It is at the same time the table of alerts: each file is one line of JSON, so Spark, DuckDB, Polars and pandas read the
folder as it is. A table of its own beside it would be a second truth, of which a kill leaves one without the other.

A number is taken by creating its file. Who finds it taken was overtaken by another run, reads what that one has found,
and judges anew; so of two runs at once one records a surge, also where they knew different counts of it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from mapring import storage
from mapring.contract.manifest import canonical_json
from mapring.errors import StageError
from mapring.watch.findings import Finding

Status = Literal["alert", "held back"]

_READERS = 8
_MOMENTS = ("window_start", "window_end", "recorded_at")


@dataclass(frozen=True, kw_only=True)
class Record(Finding):
    """One alert, or one that was held back for a reason; times are UTC.

    `id` is the same whoever finds the alert, and however often. `count` are the rows of the label, of surges.
    `examples` are redacted texts; `examples_note` says why there are none or fewer.
    """

    id: str
    status: Status
    reason: str | None
    pipeline: str
    count: int | None
    examples: tuple[str, ...]
    examples_note: str | None
    recorded_at: datetime.datetime

    def to_bytes(self) -> bytes:
        """As it is stored: one line."""
        return canonical_json(self.to_json()) + b"\n"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_bytes(cls, content: bytes) -> Record:
        """As it was stored. Raises ValueError or TypeError where it is none."""
        values: dict[str, Any] = json.loads(content)
        moments = {name: _moment(values[name]) for name in _MOMENTS}
        return cls(**{**values, **moments, "examples": tuple(values["examples"])})


def alert_id(pipeline: str, finding: Finding) -> str:
    """32 hex digits by what an alert is about, and nothing else."""
    start = _plain(finding.window_start)
    parts = [pipeline, finding.kind, finding.source, finding.quantity, start, finding.model_fingerprint]
    parts += [] if finding.group is None else [finding.group]
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:32]


def read_log(root: str) -> list[Record]:
    """All records, in the order of their numbers.

    Raises:
        StageError: a file of the log is damaged.
    """
    return read_numbered(root)[0]


def read_numbered(root: str) -> tuple[list[Record], int]:
    """All records, as `read_log` has them, and the number of the next one.

    It follows the highest that is there, not how many there are: files of the log may be removed.
    """
    folder = storage.join(root, "log")
    names = [name for name in storage.list_names(folder) if name.endswith(".json") and not name.startswith(".")]
    with ThreadPoolExecutor(_READERS) as pool:
        records = list(pool.map(lambda name: _read(storage.join(folder, name)), names))
    stems = [name.removesuffix(".json") for name in names]
    return records, max((int(stem) for stem in stems if stem.isdecimal()), default=-1) + 1


def append(root: str, number: int, record: Record) -> bool:
    """Create the record with a number; False where another run has taken it."""
    return storage.create(storage.join(root, "log", f"{number:08d}.json"), record.to_bytes())


def _read(uri: str) -> Record:
    try:
        return Record.from_bytes(storage.read_bytes(uri))
    except (ValueError, TypeError, KeyError) as error:
        raise StageError(
            f"{uri}: found no record of an alert ({error}); it was changed after it was written: bring it back, "
            f"or move {_root_of(uri)} away to begin anew"
        ) from None


def _root_of(uri: str) -> str:
    """The folder of alerts that a file of the log is in."""
    return uri.rpartition("/log/")[0]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    return value


def _moment(value: str | None) -> datetime.datetime | None:
    return None if value is None else datetime.datetime.fromisoformat(value)
