"""The drop ledger: every dropped document, with the rule, and the kept twin where there is one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from mapring.contract.schemas import DROP
from spark_jobs.dedup import EXACT_DUPLICATE
from spark_jobs.readers import MALFORMED, UNDECODABLE
from spark_jobs.tables import Built, WrittenFile, write_groups

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_ROWS_PER_FILE = 1_000_000
_ROWS_PER_ROW_GROUP = 65_536


def drop_rows(rejected: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Rows of the DROP schema from records with a rule and from duplicates with a kept twin."""
    return rejected.select(*_columns(F.col("rule"))).unionByName(
        duplicates.select(*_columns(F.lit(EXACT_DUPLICATE), is_duplicate=True))
    )


def _columns(rule: Column, *, is_duplicate: bool = False) -> list[Column]:
    nothing = F.lit(None).cast("string")
    stage = F.when(rule.isin(MALFORMED, UNDECODABLE), "read").when(rule == EXACT_DUPLICATE, "dedup")
    return [
        *(F.col(name) for name in ("doc_id", "source_id", "source", "path", "record")),
        stage.otherwise("filter").alias("stage"),
        rule.alias("rule"),
        (F.lit("1.0") if is_duplicate else nothing).alias("measured"),
        (F.lit("1.0") if is_duplicate else nothing).alias("threshold"),
        (F.col("kept_doc_id") if is_duplicate else nothing).alias("kept_doc_id"),
        (F.lit(1.0) if is_duplicate else F.lit(None).cast("double")).alias("similarity"),
        F.col("detail"),
    ]


def write_ledger(drops: DataFrame, total: int, directory: str) -> tuple[list[WrittenFile], Counter[str]]:
    """Write the ledger below `drops/`, ordered by document id; returns its files and the drops by rule."""
    files = max(1, -(-total // _ROWS_PER_FILE))
    bucket = F.pmod(F.conv(F.substring("doc_id", 1, 8), 16, 10).cast("long"), F.lit(files))
    ordered = (
        drops.withColumn("file_group", F.format_string("drops-%05d", bucket))
        .repartition("file_group")
        .sortWithinPartitions("file_group", "doc_id")
    )
    written = write_groups(ordered, _build, directory=directory, folder="drops", rows_per_row_group=_ROWS_PER_ROW_GROUP)
    by_rule: Counter[str] = Counter()
    for file in written:
        by_rule.update(file.statistics)
    return written, by_rule


def _build(table: pa.Table) -> Built:
    rules = Counter(table.column("rule").to_pylist())
    return Built(table.select(DROP.names).cast(DROP), dict(rules))
