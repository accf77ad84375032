"""Rows of one lane by position, read one Parquet row group at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.errors import PublishedError
from training.batches import Integers
from training.rows import Columns, Picked

_FOOTERS = 64  # kept of each lane; the footer of a full file has 95 kB, and one of its row groups of ids 136 kB


class _Group(NamedTuple):
    """One row group: its file, its number there, and the position of its first row."""

    path: str
    number: int
    start: int


class Lane:
    """The rows of one lane.

    Args:
        directory: the published shards.
        files: the lane's files in position order, each with `path` and `rows`.
        schema: the columns to read, with their types.
    """

    def __init__(self, directory: str, files: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
        self._directory, self._files, self.schema = directory, files, schema
        self._footer = lru_cache(_FOOTERS)(self._read_footer)
        self._groups: list[_Group] | None = None
        self.rows = sum(int(file["rows"]) for file in files)

    def starts(self) -> Integers:
        """First position of each row group. Raises PublishedError when a file does not hold what the manifest says."""
        if self._groups is None:
            self._groups = [group for file in self._row_groups() for group in file]
        return np.array([group.start for group in self._groups], np.int64)

    def read_group(self, index: int) -> pa.Table:
        """One row group, by its number in the lane."""
        assert self._groups is not None
        group = self._groups[index]
        with storage.open_arrow(storage.join(self._directory, group.path)) as handle:
            file = pq.ParquetFile(handle, metadata=self._footer(group.path))
            return file.read_row_group(group.number, columns=self.schema.names, use_threads=False)

    def _read_footer(self, path: str) -> pq.FileMetaData:
        uri = storage.join(self._directory, path)
        try:
            with storage.open_arrow(uri) as handle:
                return pq.ParquetFile(handle).metadata
        except (OSError, pa.ArrowInvalid) as error:
            raise PublishedError(
                f"{uri}: cannot be read ({error}); check it with `mapring verify {self._directory}`"
            ) from None

    def _row_groups(self) -> Sequence[list[_Group]]:
        """Row groups of every file of the lane, from the files' footers."""
        found, start = [], 0
        for file in self._files:
            footer = self._footer(file["path"])
            if footer.num_rows != file["rows"]:
                raise PublishedError(
                    f"{storage.join(self._directory, file['path'])}: found {footer.num_rows} rows, the manifest says "
                    f"{file['rows']}; remove the directory and preprocess again"
                )
            groups = []
            for number in range(footer.num_row_groups):
                groups.append(_Group(file["path"], number, start))
                start += footer.row_group(number).num_rows
            found.append(groups)
        return found


class LaneReading:
    """Reads rows of one lane by position, row groups ahead of their use in the threads of a pool.

    Row groups are kept from one request to the next, which may need the same.
    """

    def __init__(self, lane: Lane, pool: Executor) -> None:
        self._lane, self._pool = lane, pool
        self._starts = pool.submit(lane.starts)
        self._requests: deque[_Request] = deque()
        self._newest: dict[int, Future[pa.Table]] = {}
        self._columns: tuple[list[int], Columns] = ([], Columns(lane.schema.empty_table()))

    def request(self, positions: Integers) -> None:
        """Start reading the rows at these positions."""
        starts = self._starts.result()
        group_of_row = np.searchsorted(starts, positions, side="right") - 1
        before, self._newest = self._newest, {}
        for index in sorted(set(group_of_row.tolist())):
            self._newest[index] = before.get(index) or self._pool.submit(self._lane.read_group, index)
        self._requests.append(_Request(positions - starts[group_of_row], group_of_row, self._newest))

    def receive(self) -> Picked:
        """The rows of the oldest request, in its order."""
        places, group_of_row, groups = self._requests.popleft()
        needed = list(groups)
        if needed != self._columns[0]:
            self._columns = (needed, Columns(pa.concat_tables([group.result() for group in groups.values()])))
        if len(needed) > 1:
            before = np.cumsum([0, *(group.result().num_rows for group in groups.values())])
            places = places + before[np.searchsorted(needed, group_of_row)]
        return Picked(self._columns[1] if needed else Columns(self._lane.schema.empty_table()), places)


class _Request(NamedTuple):
    """Rows by their places in their row groups, the numbers of these, and the row groups that are being read."""

    places: Integers
    group_of_row: Integers
    groups: dict[int, Future[pa.Table]]


def subset(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """These fields of a schema, in this order."""
    return pa.schema([schema.field(name) for name in names])
