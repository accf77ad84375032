"""Write sorted rows as Parquet files from inside tasks; only the driver decides what is published.

A task writes the rows of every file of its own, which are all there and in order, as one file whose name
its content determines, and returns the file's description. So the bytes do not depend on how files
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

_MOST_TASKS = 10_000
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
    """A table as one Parquet file in memory; the same rows give the same bytes.

    However they came: the writer looks at the sizes of pages and dictionaries at the end of each chunk of a table, and
    how many rows Spark hands over together hangs on the memory of a machine.
    """
    table = table.combine_chunks()
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=rows_per_row_group, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def spread_to_files(rows: DataFrame, file: Column, files: int, *order: str) -> DataFrame:
    """Rows as `write_files` needs them: with `file`, those of a file in one task and in order.

    A file is a task, up to 10,000 of them, so that only the columns of the order have to be compared. Spark compares
    the first 8 bytes of the first one, and no more where they differ.

    Args:
        rows: what is written.
        file: the number of a row's file, from 0.
        files: how many there are.
        order: columns that sort the rows of a file.
    """
    from pyspark.sql import functions as F

    tasks = max(1, min(_MOST_TASKS, files))
    numbered = rows.withColumn("file", file.cast("int"))
    spread = numbered.repartitionById(tasks, F.pmod(F.col("file"), F.lit(tasks)))
    return spread.sortWithinPartitions(*(("file",) if tasks < files else ()), *order)


def write_files(
    rows: DataFrame,
    build: Callable[[pa.Table], Built],
    *,
    name: Callable[[int], str],
    directory: str,
    folder: str,
    rows_per_row_group: int,
    then: Callable[[str, pa.Table], object] | None = None,
) -> list[WrittenFile]:
    """Write rows that are spread to files, each file below `directory/folder`.

    `build` gets the rows of a file in order as one table, without their number; `name` makes the file's group of it,
    with which its path begins. `then` is told, in the task, each file that is written, its path below `directory` and
    its rows. Returns the files sorted by group.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    write = partial(
        _write_partition,
        build=build,
        name=name,
        directory=directory,
        folder=folder,
        rows_per_row_group=rows_per_row_group,
        then=then,
    )
    return written_rows(rows.mapInArrow(write, from_arrow_schema(WRITTEN)))


def write_documents(
    rows: DataFrame,
    build: Callable[[pa.Table], Built],
    *,
    files: int,
    directory: str,
    folder: str,
    rows_per_row_group: int,
) -> list[WrittenFile]:
    """Write rows with `doc_id` as `files` files named after their folder, each ordered by document id.

    A hash of the id says which file holds a document, and spreads them evenly.
    """
    from pyspark.sql import functions as F

    return write_files(
        spread_to_files(rows, F.pmod(F.xxhash64("doc_id"), F.lit(files)), files, "doc_id"),
        build,
        name=f"{folder}-{{:05d}}".format,
        directory=directory,
        folder=folder,
        rows_per_row_group=rows_per_row_group,
    )


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
    name: Callable[[int], str],
    directory: str,
    folder: str,
    rows_per_row_group: int,
    then: Callable[[str, pa.Table], object] | None,
) -> Iterator[pa.RecordBatch]:
    for file, table in tables_of_files(batches):
        group, built = name(file), build(table)
        content = parquet_bytes(built.table, rows_per_row_group)
        path = f"{folder}/{content_name(group, content, '.parquet')}"
        entry = write_file(directory, path, content, built.table.num_rows)
        if then is not None:
            then(path, built.table)
        yield written_row(group, entry, built.statistics)


def tables_of_files(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Cut a stream of batches where the value of `file` changes; yield each value, and its rows as one table."""
    current = -1
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        column = batch.column("file")
        inner = batch.drop_columns(["file"])
        start = 0
        for run in pc.run_end_encode(column).run_ends.to_pylist() if batch.num_rows else []:
            file = column[start].as_py()
            if file != current and parts:
                yield current, pa.Table.from_batches(parts)
                parts = []
            current = file
            parts.append(inner.slice(start, run - start))
            start = run
    if parts:
        yield current, pa.Table.from_batches(parts)
