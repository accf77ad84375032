"""Exact duplicates: of the documents with one content hash, the first one stays, by class and seeded priority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from spark_jobs.dedup.classes import EARLIER, class_of_new
from spark_jobs.splits import seeded_hash

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EXACT_DUPLICATE = "exact_duplicate"


def keep_one_of_each(records: DataFrame, seed: int, earlier: DataFrame | None = None) -> DataFrame:
    """One row for each content: `content_hash`, and `kept_doc_id`, the document that stays for it.

    The choice hangs on the seed, the ids and `given_split` alone, so partitions and retries do not change it. A
    document of `earlier` (`doc_id`, `content_hash`) stays in any case.
    """
    candidates = records.select("content_hash", "doc_id", class_of_new(F.col("given_split")).alias("class"))
    if earlier is not None:
        first = F.lit(bytearray(EARLIER)).alias("class")
        candidates = candidates.unionByName(earlier.select("content_hash", "doc_id", first))
    priority = F.struct("class", seeded_hash("exact", seed, F.col("doc_id")), "doc_id")
    return candidates.groupBy("content_hash").agg(F.min_by("doc_id", priority).alias("kept_doc_id"))
