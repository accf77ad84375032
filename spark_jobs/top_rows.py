"""The first rows of a scores table, of all or of each group, in two stages, so that no task sorts a whole table.

First each task finds the first rows of its part, then the first ones of these are taken. Only ids and what sorts
travel; the other columns are read once more, for the rows that stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Window
from pyspark.sql import functions as F

from mapring import storage
from mapring.contract.schemas import ranked_schema
from mapring.scores.table import ScoresTable
from mapring.settings.rank import Rank
from spark_jobs.session import partitions
from spark_jobs.tables import Built, WrittenFile, spread_to_files, write_files

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ROWS_PER_FILE = 65_536
_ROWS_PER_ROW_GROUP = 16_384
_BATCH_ROWS = 8192
_KEY = ("doc_id", "group")  # tells a row; tables of early versions have no groups


@dataclass(frozen=True)
class ByColumn:
    """Rows are sorted by a column with numbers."""

    name: str

    @property
    def told(self) -> str:
        """In words."""
        return self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """What has to be read for it."""
        return (self.name,)

    def number(self) -> Column:
        """The number that sorts; null of rows that have none."""
        return F.col(self.name).cast("double")


@dataclass(frozen=True)
class ByProbability:
    """Rows are sorted by a label's probability; `places` has that of the label, from 0, for each model."""

    label: str
    places: Mapping[str, int]

    @property
    def told(self) -> str:
        """In words."""
        return f"the probability of {self.label}"

    @property
    def columns(self) -> tuple[str, ...]:
        """What has to be read for it."""
        return ("probabilities", "model_fingerprint")

    def number(self) -> Column:
        """The number that sorts; null of rows that have none."""
        found = F.lit(None).cast("double")
        for model, place in self.places.items():
            of_model = F.get("probabilities", F.lit(place)).cast("double")
            found = F.when(F.col("model_fingerprint") == model, of_model).otherwise(found)
        return found


def write_top_rows(
    spark: SparkSession,
    table: ScoresTable,
    schema: pa.Schema,
    by: ByColumn | ByProbability,
    settings: Rank,
    directory: str,
) -> list[WrittenFile]:
    """Write the ranking of a table as files below `directory`; nothing of it is published yet.

    Args:
        spark: the session.
        table: the version whose rows are ranked.
        schema: columns of the table, which older files need not all have.
        by: what sorts.
        settings: how to rank.
        directory: of the ranking.

    Returns:
        Files of the columns of `ranked_schema`. One ranking of all rows goes on from file to file; of several, each is
        whole in one file. `statistics` has `stand_for`: how many rows of the table these rows stand for.
    """
    key = [name for name in _KEY if name in schema.names]
    needed = list(dict.fromkeys((*key, "content_hash", "error", *settings.per, *by.columns)))
    rows = _read(spark, table, pa.schema([schema.field(name) for name in needed])).where("error is null")
    top = top_rows(rows.withColumn("number", by.number()), settings, partitions(spark)).persist()
    files = -(-top.count() // ROWS_PER_FILE)
    if not files:
        return []
    places = top.select("place", "rank", "ranked_by", "rows")
    all_rows = _read(spark, table, schema)
    is_same = [all_rows[name].eqNullSafe(places[f"place.{name}"]) for name in key]
    ranked = all_rows.join(places, is_same).drop("place")
    number = F.pmod(F.xxhash64(*settings.per), F.lit(files)) if settings.per else (F.col("rank") - 1) / ROWS_PER_FILE
    written = write_files(
        spread_to_files(ranked, F.floor(number), files, *settings.per, "rank"),
        partial(_build, schema=ranked_schema(schema)),
        name="ranked-{:05d}".format,
        directory=directory,
        folder="data",
        rows_per_row_group=_ROWS_PER_ROW_GROUP,
    )
    top.unpersist()
    return written


def top_rows(numbers: DataFrame, settings: Rank, parts: int) -> DataFrame:
    """The first rows of each group, with `rank` from 1, `ranked_by`, and the number of `rows` that each stands for.

    Rows of equal numbers are in the order of `doc_id` and `group`, which stand in `place`. A row without a number is
    not ranked.

    Args:
        numbers: a row for each of the table: `doc_id`, `group`, `content_hash`, `number`, and the columns of
            `settings.per`.
        settings: how to rank.
        parts: into how many parts each group is dealt out in the first stage.
    """
    per, sign = list(settings.per), -1.0 if settings.descending else 1.0
    place = F.struct((F.col("number") * sign).alias("order"), *(name for name in _KEY if name in numbers.columns))
    given = numbers.where(F.col("number").isNotNull() & ~F.isnan("number"))
    if settings.one_per_text:
        text = F.coalesce("content_hash", "doc_id").alias("text")
        first = given.groupBy(*per, text).agg(F.min(place).alias("place"), F.count(F.lit(1)).alias("rows"))
    else:
        first = given.select(*per, place.alias("place"), F.lit(1).cast("long").alias("rows"))
    part = F.pmod(F.xxhash64("place.doc_id"), F.lit(parts))
    of_part = Window.partitionBy(*per, part).orderBy("place")
    of_group = Window.partitionBy(*per).orderBy("place")
    candidates = first.withColumn("rank", F.row_number().over(of_part)).where(F.col("rank") <= settings.top_k)
    ranked = candidates.withColumn("rank", F.row_number().over(of_group)).where(F.col("rank") <= settings.top_k)
    return ranked.select(*per, "place", "rank", (F.col("place.order") * sign).alias("ranked_by"), "rows")


def _read(spark: SparkSession, table: ScoresTable, schema: pa.Schema) -> DataFrame:
    """Some columns of all rows of a version of the table, a task for each file."""
    from pyspark.sql.pandas.types import from_arrow_schema

    paths = pa.table({"path": [file.path for file in table.files]})
    given = spark.createDataFrame(paths).repartition(len(table.files))
    return given.mapInArrow(partial(_read_files, uri=table.uri, schema=schema), from_arrow_schema(schema))


def _read_files(batches: Iterable[pa.RecordBatch], *, uri: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for path in batch.column("path").to_pylist():
            with storage.open_read(storage.join(uri, path)) as handle:
                file = pq.ParquetFile(handle)
                there = set(file.schema_arrow.names)
                for rows in file.iter_batches(_BATCH_ROWS, columns=[name for name in schema.names if name in there]):
                    columns = [
                        rows.column(field.name).cast(field.type) if field.name in there else _nulls(rows, field)
                        for field in schema
                    ]
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _nulls(rows: pa.RecordBatch, field: pa.Field) -> pa.Array:
    """Of a column that the table was given after the file was written."""
    return pa.nulls(len(rows), field.type)


def _build(table: pa.Table, *, schema: pa.Schema) -> Built:
    rows = pa.Table.from_arrays([table.column(field.name).cast(field.type) for field in schema], schema=schema)
    return Built(rows, {"stand_for": pc.sum(rows.column("rows")).as_py()})
