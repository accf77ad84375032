"""Rows of one lane by position, read one Parquet row group at a time."""

from __future__ import annotations

from collections.abc import Sequence
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

    A lane keeps what it read last, because the next call may need the same.
    """

    def __init__(self, directory: str, files: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
        self._directory, self._files, self._schema = directory, files, schema
        self._footer = lru_cache(_FOOTERS)(self._read_footer)
        self._groups: list[_Group] = []
        self._starts: Integers | None = None  # first position of each row group
        self._kept: tuple[dict[int, pa.Table], Columns] = ({}, Columns(schema.empty_table()))
        self.rows = sum(int(file["rows"]) for file in files)

    def pick(self, positions: Integers) -> Picked:
        """The rows at these positions.

        Raises:
            PublishedError: a file cannot be read, or does not hold what the manifest says.
        """
        if self._starts is None:
            self._groups = [group for file in self._row_groups() for group in file]
            self._starts = np.array([group.start for group in self._groups], np.int64)
        group_of_row = np.searchsorted(self._starts, positions, side="right") - 1
        needed = sorted(set(group_of_row.tolist()))
        kept, columns = self._kept
        if list(kept) != needed:
            kept = {index: kept[index] if index in kept else self._group(index) for index in needed}
            columns = Columns(pa.concat_tables(kept.values()) if kept else self._schema.empty_table())
            self._kept = (kept, columns)
        if len(needed) == 1:
            return Picked(columns, positions - self._starts[needed[0]])
        before = np.cumsum([0, *(table.num_rows for table in kept.values())])  # rows before each kept group
        slot = np.searchsorted(needed, group_of_row)
        return Picked(columns, before[slot] + positions - self._starts[group_of_row])

    def _group(self, index: int) -> pa.Table:
        group = self._groups[index]
        with storage.open_arrow(storage.join(self._directory, group.path)) as handle:
            file = pq.ParquetFile(handle, metadata=self._footer(group.path))
            return file.read_row_group(group.number, columns=self._schema.names, use_threads=False)

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


def subset(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """These fields of a schema, in this order."""
    return pa.schema([schema.field(name) for name in names])
