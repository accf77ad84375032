"""Counts of the scores table: a small file for each of its data files and way to count, in the table's `_counts/`.

What a data file's rows count as never changes, since its content does not. So the counts of any version are the sum
over the files that are live in it, whatever was scored late, again, carried over or taken back; files of a killed run
count nothing, since they are in no version. Counts are made in the pass that scores; where they are missing, as of
files that an older mapring or another tool wrote, they are made from the table's columns and kept. Readers of Delta
pass over names that begin with an underscore, and so does VACUUM. Counts by group are a second file, which only those
read who want them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.scores.table import LiveFile, ScoresTable
from mapring.watch.counting import COUNTS, Counting, add_counts, columns_of, count_rows
from mapring.watch.groups import GROUPS, add_groups, count_groups

_FOLDER = "_counts"
_HOW = b"mapring.counting"  # key of the file's metadata
_READERS = 8
_KINDS: dict[str, tuple[pa.Schema, Callable[[pa.Table, Counting], pa.Table]]] = {
    "counts": (COUNTS, count_rows),
    "groups": (GROUPS, count_groups),
}
_NAME = re.compile(r"(?P<stem>.*)\.(?P<kind>counts|groups)-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True, kw_only=True)
class CountKeeper:
    """Keeps the counts of data files of a table as they are written; runs inside tasks."""

    uri: str
    counting: Counting

    def __call__(self, path: str, rows: pa.Table) -> pa.Table:
        """Count the rows of the data file at `path` below the table, and keep the counts; returns those of sources."""
        if self.counting.by_group:
            self.keep_groups(path, rows)
        models = rows.column("model_fingerprint").unique().to_pylist()
        counts = count_rows(rows, self.counting)
        _keep(_place(self.uri, path, self.counting, models), counts, self.counting.to_bytes(models))
        return counts

    def keep_groups(self, path: str, rows: pa.Table) -> pa.Table:
        """Count the rows of the data file by group, and keep and return the counts."""
        groups = count_groups(rows, self.counting)
        _keep(_groups_place(self.uri, path, self.counting), groups, self.counting.to_bytes(()))
        return groups


def read_counts(table: ScoresTable, counting: Counting) -> pa.Table:
    """The counts of a version of the table; what is not kept yet is counted and kept. Returns COUNTS."""
    with ThreadPoolExecutor(_READERS) as pool:
        return add_counts(list(pool.map(lambda file: _counts_of(table.uri, file, counting), table.files)))


def read_groups(table: ScoresTable, counting: Counting, since: datetime.datetime | None = None) -> pa.Table:
    """The counts by group of a version of the table, of windows from a moment on; what is missing is counted and kept.

    Returns GROUPS, in any order.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        return add_groups(list(pool.map(lambda file: _groups_of(table.uri, file, counting, since), table.files)))


def drop_counts(uri: str, paths: Iterable[str]) -> None:
    """Remove the counts of data files, by their paths below the table, which are no longer there."""
    stems = {_stem(path) for path in paths}
    for name in kept_names(uri):
        found = _NAME.fullmatch(name)
        if found is not None and found["stem"] in stems:
            storage.remove_tree(storage.join(uri, _FOLDER, name))


def lost_counts(paths: Collection[str]) -> set[str]:
    """Of all paths below a table those of counts whose data file is not there, and which nothing reads any more."""
    stems = {_stem(path) for path in paths if not path.startswith("_")}
    kept = {path: _NAME.fullmatch(path.removeprefix(f"{_FOLDER}/")) for path in paths if path.startswith(f"{_FOLDER}/")}
    return {path for path, found in kept.items() if found is not None and found["stem"] not in stems}


def count_problems(uri: str, path: str, rows: pa.Table, names: Iterable[str]) -> list[str]:
    """What is wrong with the kept counts of a data file, given its rows and `kept_names` of its table."""
    problems = []
    for name in names:
        kept = _NAME.fullmatch(name)
        if kept is None or kept["stem"] != _stem(path):
            continue
        schema, count = _KINDS[kept["kind"]]
        place = storage.join(uri, _FOLDER, name)
        try:
            found = pq.read_table(BytesIO(storage.read_bytes(place)))
            counting = Counting.from_bytes((found.schema.metadata or {})[_HOW])
            is_right = found.cast(schema).equals(count(rows, counting))
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            problems.append(f"{place}: cannot be read ({error}); remove it, and the rows are counted again")
            continue
        if not is_right:
            problems.append(f"{place}: is not what the rows of {path} count; remove it, and they are counted again")
    return problems


def kept_names(uri: str) -> list[str]:
    """The names of all kept counts of a table."""
    return storage.list_names(storage.join(uri, _FOLDER))


def _counts_of(uri: str, file: LiveFile, counting: Counting) -> pa.Table:
    place = _place(uri, file.path, counting, {found.model for found in file.inputs})
    if storage.exists(place):
        return pq.read_table(BytesIO(storage.read_bytes(place))).cast(COUNTS)
    return CountKeeper(uri=uri, counting=counting)(file.path, _rows_of(uri, file))


def _groups_of(uri: str, file: LiveFile, counting: Counting, since: datetime.datetime | None) -> pa.Table:
    place = _groups_place(uri, file.path, counting)
    if storage.exists(place):
        groups = pq.read_table(BytesIO(storage.read_bytes(place))).cast(GROUPS)
    else:
        groups = CountKeeper(uri=uri, counting=counting).keep_groups(file.path, _rows_of(uri, file))
    return groups if since is None else groups.filter(pc.field("window_start") >= since)


def _rows_of(uri: str, file: LiveFile) -> pa.Table:
    with storage.open_read(storage.join(uri, file.path)) as handle:
        data = pq.ParquetFile(handle)
        return data.read(columns=columns_of(data.schema_arrow.names))


def _keep(place: str, counts: pa.Table, how: bytes) -> None:
    sink = BytesIO()
    pq.write_table(counts.replace_schema_metadata({_HOW: how}), sink, compression="zstd")
    storage.create_identical(place, sink.getvalue())


def _place(uri: str, path: str, counting: Counting, models: Iterable[str]) -> str:
    return storage.join(uri, _FOLDER, f"{_stem(path)}.counts-{counting.identity(models)}.parquet")


def _groups_place(uri: str, path: str, counting: Counting) -> str:
    return storage.join(uri, _FOLDER, f"{_stem(path)}.groups-{counting.identity(())}.parquet")


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".parquet")
