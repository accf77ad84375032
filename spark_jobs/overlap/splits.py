"""How much of the validation and test splits stands in the training split as well, by n-grams.

Equal texts are in one split, and near-duplicates are dropped where asked for, but passages may still be shared: a
model that has seen them is measured too well. The figure says by how much, at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from mapring.settings.schema import Splits
from spark_jobs.overlap.hash_filter import build_filter
from spark_jobs.overlap.ngrams import NgramLister, list_ngrams
from spark_jobs.splits import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TRAIN, *HELD_OUT = SPLITS


def measure_overlap(documents: DataFrame, settings: Splits) -> dict[str, Any] | None:
    """Compare the held-out splits with the training split.

    Only hashes are moved: those of the held-out documents, and of training documents those that a bitmap of the former
    lets pass.

    Args:
        documents: kept ones, with `split`, `content_hash` and `text`.
        settings: length and unit of the n-grams; length 0 compares nothing.

    Returns:
        `length` and `unit`, and for each held-out split `documents` (that have an n-gram), those of them with one that
        occurs in the training split, their different `ngrams` summed over documents, those that occur in the training
        split, and both shares; None where nothing is compared.
    """
    if not settings.overlap_length:
        return None
    lister = NgramLister(unit=settings.overlap_unit, length=settings.overlap_length, keys=("split", "document"))
    numbered = documents.select("split", F.xxhash64("content_hash").alias("document"), "text")
    held_out = list_ngrams(numbered.where(F.col("split") != TRAIN), lister).select("split", "document", "ngram")
    held_out = held_out.persist()
    sizes = _counts(held_out)
    found = _counts(_in_training(held_out, numbered.where(F.col("split") == TRAIN), settings, sizes))
    held_out.unpersist()
    told = {split: _told(sizes.get(split, (0, 0)), found.get(split, (0, 0))) for split in HELD_OUT}
    return {"length": settings.overlap_length, "unit": settings.overlap_unit, **told}


def _in_training(
    held_out: DataFrame, train: DataFrame, settings: Splits, sizes: dict[str, tuple[int, int]]
) -> DataFrame:
    """The rows of `held_out` whose n-gram occurs in `train`."""
    only = build_filter(held_out, sum(ngrams for _, ngrams in sizes.values()))
    known = held_out.sparkSession.sparkContext.broadcast(only)
    lister = NgramLister(unit=settings.overlap_unit, length=settings.overlap_length, keys=(), only=known)
    return held_out.join(list_ngrams(train, lister).select("ngram").distinct(), "ngram", "left_semi")


def _counts(rows: DataFrame) -> dict[str, tuple[int, int]]:
    """Documents and n-grams of each split."""
    counted = rows.groupBy("split").agg(F.count_distinct("document").alias("documents"), F.count("*").alias("ngrams"))
    return {row["split"]: (row["documents"], row["ngrams"]) for row in counted.collect()}


def _told(size: tuple[int, int], found: tuple[int, int]) -> dict[str, Any]:
    return {
        "documents": size[0],
        "documents_in_train": found[0],
        "ngrams": size[1],
        "ngrams_in_train": found[1],
        "share_of_documents": round(found[0] / max(size[0], 1), 6),
        "share_of_ngrams": round(found[1] / max(size[1], 1), 6),
    }
