"""All duplicates of a corpus: exact ones first, then near ones among what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.settings import Settings
from spark_jobs.dedup.exact import EXACT_DUPLICATE, keep_one_of_each
from spark_jobs.dedup.near import NEAR_DUPLICATE, find_near_duplicates
from spark_jobs.dedup.sketches import read_earlier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_STAYS = "kept_in is null and doc_id = kept_doc_id"  # an earlier document may have the same id, see `keep_one_of_each`


def mark_duplicates(records: DataFrame, settings: Settings, *, run_dir: str, partitions: int) -> DataFrame:
    """Say of every document whether it stays, and if not, which twin of it does.

    A twin is always a kept document: the exact copy of a document that is itself dropped as a near-duplicate
    has that document's twin, and is a near-duplicate of it. What is decided is one row of ids for each content;
    the texts of `records`, which are in `partitions` partitions by content hash, are not moved.

    Returns:
        The records with `kept_doc_id` (their own id for those that stay), `similarity`, `duplicate_rule` (null for
        those that stay), `duplicate_threshold` and `kept_in` (fingerprint of the earlier shards that hold the twin).
    """
    chosen = settings.preprocess.duplicates
    earlier = read_earlier(records.sparkSession, chosen.earlier, settings.seed)
    if earlier is not None:
        earlier = earlier.persist()
    decided = keep_one_of_each(records, settings.seed, earlier)
    decided = decided.withColumns({"similarity": F.lit(1.0), "is_near": F.lit(False)})
    if chosen.near.enabled:
        unique = _with_decision(records, decided.persist()).where(_STAYS)
        dropped = find_near_duplicates(
            unique, chosen.near, seed=settings.seed, run_dir=run_dir, partitions=partitions, earlier=earlier
        )
        decided = _follow(decided, dropped)
    decided = decided.repartition(partitions, "content_hash").persist()
    return _described(_with_decision(records, decided), chosen.near.threshold)


def _with_decision(records: DataFrame, decided: DataFrame) -> DataFrame:
    return records.join(decided.hint("shuffle_hash"), "content_hash")  # sorting would move all the text


def _follow(exact: DataFrame, dropped: DataFrame) -> DataFrame:
    """Lead every content whose kept document is dropped to the twin of that document."""
    twins = dropped.select(
        F.col("doc_id").alias("own_id"),
        F.col("kept_doc_id").alias("twin"),
        F.col("kept_in").alias("twin_in"),
        F.col("similarity").alias("near"),
    )
    own_id = F.when(F.col("kept_in").isNull(), F.col("kept_doc_id"))  # no earlier document is dropped
    has_twin = F.col("twin").isNotNull()
    return (
        exact.withColumn("own_id", own_id)
        .join(twins, "own_id", "left")
        .select(
            "content_hash",
            F.coalesce("twin", "kept_doc_id").alias("kept_doc_id"),
            F.when(has_twin, F.col("twin_in")).otherwise(F.col("kept_in")).alias("kept_in"),
            F.coalesce("near", F.lit(1.0)).alias("similarity"),
            has_twin.alias("is_near"),
        )
    )


def _described(marked: DataFrame, threshold: float) -> DataFrame:
    is_dropped = ~F.expr(_STAYS)
    rule = F.when(F.col("is_near"), NEAR_DUPLICATE).otherwise(EXACT_DUPLICATE)
    return marked.withColumns(
        {
            "duplicate_rule": F.when(is_dropped, rule),
            "duplicate_threshold": F.when(is_dropped, F.when(F.col("is_near"), threshold).otherwise(1.0)),
        }
    ).drop("is_near")
