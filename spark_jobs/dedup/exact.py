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
    document of `earlier` (`doc_id`, `content_hash`, `kept_in`) stays in any case. Its id may also be that of a document
    of this corpus, or of other shards: it names a place in an input, which may hold another text by now. So `kept_in`
    tells the shards of the one that stays, null where it is of this corpus.
    """
    own = (class_of_new(F.col("given_split")).alias("class"), F.lit(None).cast("string").alias("kept_in"))
    candidates = records.select("content_hash", "doc_id", *own)
    if earlier is not None:
        first = F.lit(bytearray(EARLIER)).alias("class")
        candidates = candidates.unionByName(earlier.select("content_hash", "doc_id", first, "kept_in"))
    priority = F.struct("class", seeded_hash("exact", seed, F.col("doc_id")), "doc_id", "kept_in")
    kept = candidates.groupBy("content_hash").agg(F.min_by(F.struct("doc_id", "kept_in"), priority).alias("kept"))
    return kept.select("content_hash", F.col("kept.doc_id").alias("kept_doc_id"), "kept.kept_in")
