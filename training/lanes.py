"""Rows of lanes by position, read one Parquet row group at a time, ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.errors import PublishedError
from training.batches import Integers
from training.rows import Columns

_THREADS = 4  # decoding fills several cores, and of an object store as many reads wait at the same time
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


class Place(NamedTuple):
    """A row group of some lanes: which of the lanes, and its number there."""

    lane: int
    group: int


class KeptGroups:
    """Row groups that stay in memory up to a size, so that a later epoch finds them read and decoded.

    Kept are the first ones that come. Of more than fits, what came last would push out what is needed next.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._tables: dict[Place, pa.Table] = {}
        self._lock = Lock()

    def get(self, place: Place) -> pa.Table | None:
        """A row group, if it is kept."""
        return self._tables.get(place)

    def offer(self, place: Place, table: pa.Table) -> None:
        """Keep a row group if there is room."""
        size = table.nbytes
        with self._lock:
            if place not in self._tables and self._bytes + size <= self._most_bytes:
                self._bytes += size
                self._tables[place] = table


class LanesReading:
    """Reads the same positions of several lanes, row groups ahead of their use in threads of its own.

    Row groups are kept from one request to the next, which may need the same, and are taken apart in a thread, too:
    those of all lanes at once, since it is the calls that cost, not the rows. While `is_keeping` they are offered to
    `kept`.
    """

    def __init__(self, lanes: Sequence[Lane], kept: KeptGroups) -> None:
        self._lanes, self._kept, self.is_keeping = lanes, kept, False
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shard-reader")
        self._joiner = ThreadPoolExecutor(1, thread_name_prefix="shard-reader-join")  # waits, so readers do not
        self._starts = [self._pool.submit(lane.starts) for lane in lanes]
        self._requests: deque[_Request] = deque()
        self._newest: dict[Place, Future[pa.Table]] = {}
        self._columns: Future[Columns] = self._joiner.submit(Columns, [lane.schema.empty_table() for lane in lanes[:1]])

    def request(self, positions: Integers) -> None:
        """Start reading the rows at these positions, of each lane those that it has."""
        before, self._newest = self._newest, {}
        places, rows = [], 0
        for number, (lane, layout) in enumerate(zip(self._lanes, self._layouts, strict=True)):
            own = positions[positions < lane.rows]
            group_of_row = np.searchsorted(layout.starts, own, side="right") - 1
            needed = np.unique(group_of_row)
            for group in needed.tolist():
                place = Place(number, group)
                self._newest[place] = before.get(place) or self._pool.submit(self._read, place)
            ends = np.cumsum(layout.sizes[needed]) + rows
            first = ends - layout.sizes[needed] - layout.starts[needed]  # what makes a position a place
            places.append(own + first[np.searchsorted(needed, group_of_row)])
            rows = int(ends[-1]) if len(ends) else rows
        if self._newest and self._newest.keys() != before.keys():
            self._columns = self._joiner.submit(_taken_apart, list(self._newest.values()))
        self._requests.append(_Request(self._columns, places))

    def receive(self) -> tuple[Columns, list[Integers]]:
        """The columns that the rows of the oldest request stand in, and the places of each lane's in its order."""
        columns, places = self._requests.popleft()
        return columns.result(), places

    def close(self) -> None:
        """End the threads; what is still being read is not received any more."""
        self._pool.shutdown(cancel_futures=True)
        self._joiner.shutdown(cancel_futures=True)

    def _read(self, place: Place) -> pa.Table:
        table = self._kept.get(place)
        if table is None:
            table = self._lanes[place.lane].read_group(place.group)
            if self.is_keeping:
                self._kept.offer(place, table)
        return table

    @cached_property
    def _layouts(self) -> list[_Layout]:
        """Where each lane's row groups begin, and how many rows they have."""
        all_starts = [future.result() for future in self._starts]
        return [
            _Layout(starts, np.diff(starts, append=lane.rows))
            for lane, starts in zip(self._lanes, all_starts, strict=True)
        ]


class _Layout(NamedTuple):
    """The row groups of a lane: positions of their first rows, and how many rows they have, shape (groups,)."""

    starts: Integers
    sizes: Integers


class _Request(NamedTuple):
    """The columns that are being read, and the places in them of each lane's rows."""

    columns: Future[Columns]
    places: list[Integers]


def _taken_apart(tables: Sequence[Future[pa.Table]]) -> Columns:
    return Columns([table.result() for table in tables])


def subset(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """These fields of a schema, in this order."""
    return pa.schema([schema.field(name) for name in names])
