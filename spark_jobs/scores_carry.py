"""Rows that stay when others of their file leave the table: the file is written again without those, by tasks.

A file of which all rows leave is only taken out of the log. Rows keep the run and the time that they were scored at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import content_name, write_file
from mapring.errors import StageError
from mapring.scores.statistics import file_statistics
from mapring.scores.table import LiveFile
from mapring.watch.stored import CountKeeper
from spark_jobs.tables import WRITTEN, WrittenFile, parquet_bytes, written_row, written_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Key = tuple[str, str]
_TASK = pa.schema([pa.field("path", pa.string()), pa.field("leaving", pa.list_(pa.list_(pa.string())))])


def affected_files(files: Iterable[LiveFile], leaving: frozenset[Key]) -> list[LiveFile]:
    """Files with a row of an input, by source and path, that leaves the table."""
    return [file for file in files if not leaving.isdisjoint(found.key for found in file.inputs)]


def carry_over(
    spark: SparkSession,
    uri: str,
    files: Sequence[LiveFile],
    leaving: frozenset[Key],
    rows_per_row_group: int,
    keep_counts: CountKeeper,
) -> list[WrittenFile]:
    """Write the rows of affected files that stay, and what they count.

    Raises:
        StageError: a row was lost or stayed too many.
    """
    mixed = [file for file in files if not leaving.issuperset(found.key for found in file.inputs)]
    if not mixed:
        return []
    from pyspark.sql.pandas.types import from_arrow_schema

    tasks = [
        {"path": file.path, "leaving": [list(found.key) for found in file.inputs if found.key in leaving]}
        for file in mixed
    ]
    given = spark.createDataFrame(pa.Table.from_pylist(tasks, schema=_TASK)).repartition(len(tasks))
    carry = partial(_carry_files, uri=uri, rows_per_row_group=rows_per_row_group, keep_counts=keep_counts)
    written = written_rows(given.mapInArrow(carry, from_arrow_schema(WRITTEN)))
    before = sum(file.rows for file in mixed)
    stay = sum(file.entry.rows or 0 for file in written)
    left = sum(int(file.statistics["left"]) for file in written)
    if stay + left != before:
        raise StageError(
            f"{uri}: of {before} rows {stay} would stay and {left} leave; nothing was committed. Check the table with "
            "`mapring verify`"
        )
    return written


def _carry_files(
    batches: Iterable[pa.RecordBatch], *, uri: str, rows_per_row_group: int, keep_counts: CountKeeper
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for task in batch.to_pylist():
            with storage.open_read(storage.join(uri, task["path"])) as handle:
                table = pq.read_table(handle)
            stay = table.filter(pc.invert(_is_of(table, [tuple(key) for key in task["leaving"]])))
            content = parquet_bytes(stay, rows_per_row_group)
            path = f"data/{content_name('carried', content, '.parquet')}"
            entry = write_file(uri, path, content, stay.num_rows)
            keep_counts(path, stay)
            statistics = {"delta": file_statistics(stay), "left": table.num_rows - stay.num_rows}
            yield written_row("carried", entry, statistics)


def _is_of(table: pa.Table, keys: Sequence[Key]) -> pa.ChunkedArray:
    """For each row whether it is of one of these inputs."""
    found = pa.chunked_array([pa.repeat(False, table.num_rows)])
    for source in {source for source, _ in keys}:
        paths = pa.array([path for other, path in keys if other == source], pa.string())
        here = pc.and_(pc.equal(table.column("source"), source), pc.is_in(table.column("path"), value_set=paths))
        found = pc.or_(found, here)
    return found
