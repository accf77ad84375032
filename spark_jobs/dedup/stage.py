"""All duplicates of a corpus: exact ones first, then near ones among what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.settings import Settings
from spark_jobs.dedup.exact import EXACT_DUPLICATE, mark_exact_duplicates
from spark_jobs.dedup.near import NEAR_DUPLICATE, find_near_duplicates
from spark_jobs.dedup.sketches import read_earlier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def mark_duplicates(records: DataFrame, settings: Settings, run_dir: str) -> DataFrame:
    """Say of every document whether it stays, and if not, which twin of it does.

    A twin is always a kept document: the exact copy of a document that is itself dropped as a near-duplicate
    has that document's twin, and is a near-duplicate of it.

    Returns:
        The records with `kept_doc_id` (their own id for those that stay), `similarity`, `duplicate_rule`,
        `duplicate_threshold` and `kept_in` (fingerprint of the earlier shards that hold the twin), persisted.
    """
    chosen = settings.preprocess.duplicates
    earlier = read_earlier(records.sparkSession, chosen.earlier, settings.seed)
    if earlier is not None:
        earlier = earlier.persist()
    marked = mark_exact_duplicates(records, settings.seed, earlier)
    marked = marked.withColumns({"similarity": F.lit(1.0), "is_near": F.lit(False)})
    if chosen.near.enabled:
        exact = marked.persist()
        unique = exact.where("doc_id = kept_doc_id")
        dropped = find_near_duplicates(unique, chosen.near, seed=settings.seed, run_dir=run_dir, earlier=earlier)
        marked = _follow(exact, dropped)
    if earlier is not None:
        origin = earlier.select(F.col("doc_id").alias("kept_doc_id"), "kept_in")
        marked = marked.join(origin, "kept_doc_id", "left")
    else:
        marked = marked.withColumn("kept_in", F.lit(None).cast("string"))
    return _described(marked, chosen.near.threshold).persist()


def _follow(exact: DataFrame, dropped: DataFrame) -> DataFrame:
    """Lead every document whose kept copy is dropped to the twin of that copy."""
    twins = dropped.select(
        F.col("doc_id").alias("kept_doc_id"), F.col("kept_doc_id").alias("twin"), F.col("similarity").alias("near")
    )
    return exact.join(twins, "kept_doc_id", "left").select(
        *(name for name in exact.columns if name not in ("kept_doc_id", "similarity", "is_near")),
        F.coalesce("twin", "kept_doc_id").alias("kept_doc_id"),
        F.coalesce("near", F.lit(1.0)).alias("similarity"),
        F.col("twin").isNotNull().alias("is_near"),
    )


def _described(marked: DataFrame, threshold: float) -> DataFrame:
    is_dropped = F.col("doc_id") != F.col("kept_doc_id")
    rule = F.when(F.col("is_near"), NEAR_DUPLICATE).otherwise(EXACT_DUPLICATE)
    return marked.withColumns(
        {
            "duplicate_rule": F.when(is_dropped, rule),
            "duplicate_threshold": F.when(is_dropped, F.when(F.col("is_near"), threshold).otherwise(1.0)),
        }
    ).drop("is_near")
