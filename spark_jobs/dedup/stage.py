"""All duplicates of a corpus: exact ones first, then near ones among what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.settings import Settings
from spark_jobs.dedup.exact import EXACT_DUPLICATE, mark_exact_duplicates
from spark_jobs.dedup.near import NEAR_DUPLICATE, find_near_duplicates

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def mark_duplicates(records: DataFrame, settings: Settings, run_dir: str) -> DataFrame:
    """Say of every document whether it stays, and if not, which twin of it does.

    A twin is always a kept document: the exact copy of a document that is itself dropped as a near-duplicate
    has that document's twin, and is a near-duplicate of it.

    Returns:
        The records with `kept_doc_id` (their own id for those that stay), `similarity`, `duplicate_rule`
        and `duplicate_threshold` (null for those that stay), persisted.
    """
    exact = mark_exact_duplicates(records, settings.seed)
    near = settings.preprocess.near_duplicates
    if not near.enabled:
        return _described(exact.withColumn("similarity", F.lit(1.0)), near.threshold).persist()
    exact = exact.persist()
    unique = exact.where("doc_id = kept_doc_id").select("doc_id", "text")
    dropped = find_near_duplicates(unique, near, seed=settings.seed, run_dir=run_dir)
    twins = dropped.select(F.col("doc_id").alias("kept_doc_id"), F.col("kept_doc_id").alias("twin"), "similarity")
    marked = exact.join(twins, "kept_doc_id", "left").withColumns(
        {
            "kept_doc_id": F.coalesce("twin", "kept_doc_id"),
            "is_near": F.col("twin").isNotNull(),
            "similarity": F.coalesce("similarity", F.lit(1.0)),
        }
    )
    return _described(marked.drop("twin"), near.threshold).persist()


def _described(marked: DataFrame, threshold: float) -> DataFrame:
    is_near = F.col("is_near") if "is_near" in marked.columns else F.lit(False)
    is_dropped = F.col("doc_id") != F.col("kept_doc_id")
    rule = F.when(is_near, NEAR_DUPLICATE).otherwise(EXACT_DUPLICATE)
    return marked.withColumns(
        {
            "duplicate_rule": F.when(is_dropped, rule),
            "duplicate_threshold": F.when(is_dropped, F.when(is_near, threshold).otherwise(1.0)),
        }
    ).drop("is_near")
