"""The drop ledger: every dropped document, with the rule, and the kept twin where there is one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from mapring.care.forgotten import FORGOTTEN
from mapring.contract.schemas import DROP, KEPT_IN_SHARDS
from spark_jobs.dedup.parts import DUPLICATE_PARTS
from spark_jobs.formats.raw import READ_RULES
from spark_jobs.label_limit import LABEL_LIMIT
from spark_jobs.overlap.contamination import CONTAMINATED
from spark_jobs.tables import Built, WrittenFile, write_documents

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PLACE = ("doc_id", "source_id", "source", "path", "record")
_ROWS_PER_FILE = 1_000_000
_ROWS_PER_ROW_GROUP = 65_536


def drop_rows(rejected: DataFrame, duplicates: DataFrame, limited: DataFrame | None = None) -> DataFrame:
    """Rows of the DROP schema from records with a rule and from duplicates with a kept twin.

    Args:
        rejected: with `rule`, `measured`, `threshold` and `detail`.
        duplicates: with what `dedup.stage.mark_duplicates` says of them.
        limited: documents beyond the limit of their label, with `rule`, `measured` and `threshold`; None without one.
    """
    nothing = F.lit(None).cast("string")
    stage = (
        F.when(F.col("rule").isin(*READ_RULES), "read")
        .when(F.col("rule") == FORGOTTEN, "forget")
        .when(F.col("rule") == CONTAMINATED, "decontaminate")
        .when(F.col("rule") == DUPLICATE_PARTS, "dedup")
        .when(F.col("rule") == LABEL_LIMIT, "limit")
        .otherwise("filter")
    )
    ruled = rejected.select(*_PLACE, "rule", "measured", "threshold", "detail")
    if limited is not None:
        ruled = ruled.unionByName(limited.select(*_PLACE, "rule", "measured", "threshold", nothing.alias("detail")))
    ruled = ruled.select(
        *_PLACE,
        stage.alias("stage"),
        "rule",
        "measured",
        "threshold",
        nothing.alias("kept_doc_id"),
        F.lit(None).cast("double").alias("similarity"),
        "detail",
    )
    duplicates = duplicates.select(
        *_PLACE,
        F.lit("dedup").alias("stage"),
        F.col("duplicate_rule").alias("rule"),
        F.col("similarity").cast("string").alias("measured"),
        F.col("duplicate_threshold").cast("string").alias("threshold"),
        "kept_doc_id",
        "similarity",
        F.when(F.col("kept_in").isNotNull(), F.concat(F.lit(KEPT_IN_SHARDS), "kept_in")).alias("detail"),
    )
    return ruled.unionByName(duplicates)


def write_ledger(drops: DataFrame, total: int, directory: str) -> tuple[list[WrittenFile], Counter[str]]:
    """Write the ledger below `drops/`, ordered by document id; returns its files and the drops by rule."""
    files = max(1, -(-total // _ROWS_PER_FILE))
    written = write_documents(
        drops,
        _build,
        files=files,
        directory=directory,
        folder="drops",
        rows_per_row_group=_ROWS_PER_ROW_GROUP,
    )
    by_rule: Counter[str] = Counter()
    for file in written:
        for rule, _, count in file.statistics["drops"]:
            by_rule[rule] += count
    return written, by_rule


def _build(table: pa.Table) -> Built:
    counted = table.group_by(["rule", "source"]).aggregate([([], "count_all")]).to_pylist()
    drops = sorted([row["rule"], row["source"], row["count_all"]] for row in counted)
    return Built(table.select(DROP.names).cast(DROP), {"drops": drops})
