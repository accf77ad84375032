"""Write sorted rows as Parquet files from inside tasks; only the driver decides what is published.

A task writes every group of rows (consecutive, all in one task) as one file whose name its
content determines, and returns the file's description. So the bytes do not depend on how groups
are spread over tasks, and a retried or speculative task writes nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring.contract import FileEntry, content_name, write_file

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

WRITTEN = pa.schema(
    [
        pa.field("group", pa.string(), nullable=False),  # sort key of the file among the stage's files
        pa.field("path", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("statistics", pa.string(), nullable=False),  # JSON
    ]
)


class WrittenFile(NamedTuple):
    """One file that a task wrote, with its group and what was counted in it."""

    group: str
    entry: FileEntry
    statistics: dict[str, Any]


class Built(NamedTuple):
    """What a group's rows become: the file's table, and counts that the driver adds up."""

    table: pa.Table
    statistics: dict[str, Any]


def parquet_bytes(table: pa.Table, rows_per_row_group: int) -> bytes:
    """A table as one Parquet file in memory; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=rows_per_row_group, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def file_of_document(files: int) -> Column:
    """Which of `files` files, counted from 0, holds a document: a hash of its id spreads them evenly."""
    from pyspark.sql import functions as F

    return F.pmod(F.xxhash64("doc_id"), F.lit(files))


def write_groups(
    rows: DataFrame,
    build: Callable[[pa.Table], Built],
    *,
    directory: str,
    folder: str,
    rows_per_row_group: int,
    then: Callable[[str, pa.Table], object] | None = None,
) -> list[WrittenFile]:
    """Write each group of a DataFrame as one file below `directory/folder`.

    Rows of equal `file_group` must be consecutive and in one partition; `build` gets them in
    order as one table, without that column. `then` is told, in the task, each file that is written, its path below
    `directory` and its rows. Returns the files sorted by group.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    write = partial(
        _write_partition,
        build=build,
        directory=directory,
        folder=folder,
        rows_per_row_group=rows_per_row_group,
        then=then,
    )
    return written_rows(rows.mapInArrow(write, from_arrow_schema(WRITTEN)))


def written_rows(described: DataFrame) -> list[WrittenFile]:
    """The files that rows of WRITTEN describe, sorted by group."""
    files = [
        WrittenFile(
            row["group"],
            FileEntry(path=row["path"], rows=row["rows"], bytes=row["bytes"], sha256=row["sha256"]),
            json.loads(row["statistics"]),
        )
        for row in described.collect()
    ]
    return sorted(files, key=lambda file: (file.group, file.entry.path))


def written_row(group: str, entry: FileEntry, statistics: Mapping[str, Any]) -> pa.RecordBatch:
    """A row of WRITTEN, with which a task tells of a file."""
    row = {**vars(entry), "group": group, "statistics": json.dumps(statistics, sort_keys=True)}
    return pa.RecordBatch.from_pylist([row], schema=WRITTEN)


def _write_partition(
    batches: Iterable[pa.RecordBatch],
    *,
    build: Callable[[pa.Table], Built],
    directory: str,
    folder: str,
    rows_per_row_group: int,
    then: Callable[[str, pa.Table], object] | None,
) -> Iterator[pa.RecordBatch]:
    for group, table in groups(batches):
        built = build(table)
        content = parquet_bytes(built.table, rows_per_row_group)
        path = f"{folder}/{content_name(group, content, '.parquet')}"
        entry = write_file(directory, path, content, built.table.num_rows)
        if then is not None:
            then(path, built.table)
        yield written_row(group, entry, built.statistics)


def groups(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    """Cut a stream of batches where the value of `file_group` changes; yield each group as one table."""
    current: str | None = None
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        column = batch.column("file_group")
        inner = batch.drop_columns(["file_group"])
        start = 0
        for run in pc.run_end_encode(column).run_ends.to_pylist() if batch.num_rows else []:
            group = column[start].as_py()
            if group != current and parts:
                yield str(current), pa.Table.from_batches(parts)
                parts = []
            current = group
            parts.append(inner.slice(start, run - start))
            start = run
    if parts:
        yield str(current), pa.Table.from_batches(parts)
