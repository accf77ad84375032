"""Rows to the files of the scores table, so that equal texts meet in one and are computed once.

A row of an input that is cut into several files goes by the hash of its text. A text with many rows would make one of
them large and its task slow, so its rows are dealt out over as many files as keep its part of each small, and it is
computed once in each of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PART_OF_A_FILE = 16  # of one text; files of texts as large as that have a fourth more or less rows than the mean
_TEXT = ["source", "path", "content_hash"]


def rows_of_a_text(rows_per_file: int) -> int:
    """How many rows one text may have in a file of so many rows before they are dealt out."""
    return max(1, rows_per_file // _PART_OF_A_FILE)


def place_rows(records: DataFrame, inputs: pa.Table, most: int) -> DataFrame:
    """Rows with the columns of their input, and the number of their `file`.

    Args:
        records: rows of the SCORED_RECORD schema.
        inputs: a row for each input: `source`, `path`, its `first` file, how many `files` it has, and more.
        most: rows of one text that go to one file.
    """
    spark = records.sparkSession
    placed = records.join(F.broadcast(spark.createDataFrame(inputs)), ["source", "path"])
    if not any(count > 1 for count in inputs.column("files").to_pylist()):
        return placed.withColumn("file", F.col("first").cast("int")).drop("first", "files")
    cut = placed.where("files > 1 and content_hash is not null")
    shares = F.ceil(F.col("count") / most).alias("shares")
    many = cut.groupBy(_TEXT).count().where(F.col("count") > most).select(*_TEXT, shares).toArrow()
    share = F.lit(0)
    if many.num_rows:
        placed = placed.join(F.broadcast(spark.createDataFrame(many)), _TEXT, "left")
        share = F.pmod(F.xxhash64("doc_id"), F.coalesce("shares", F.lit(1)))
    home = F.pmod(F.xxhash64(F.coalesce("content_hash", "doc_id")), F.col("files"))
    number = F.col("first") + F.pmod(home + share, F.col("files"))
    return placed.withColumn("file", number.cast("int")).drop("first", "files", "shares")
