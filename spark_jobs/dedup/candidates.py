"""From sketches to duplicate pairs: bands propose pairs, the true similarity of the shingle sets decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pyspark.sql import Window
from pyspark.sql import functions as F

from spark_jobs.dedup.sketches import NEW

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

LEADERS = 32  # a bucket of up to 33 documents gives all its pairs, a larger one 32 for each document


def shared_bands(sketches: DataFrame) -> DataFrame:
    """`node` and `band` of the bands that more than one document has, which are few.

    They are found by counting, so that not all bands need to be sorted.
    """
    every = sketches.select("node", F.explode("bands").alias("band"))
    shared = every.groupBy("band").count().where("count > 1").select("band")
    return every.join(shared.hint("shuffle_hash"), "band", "left_semi")


def candidate_pairs(bands: DataFrame, leaders: int = LEADERS) -> DataFrame:
    """Pairs `low` < `high` of nodes that share a band, each once.

    In a bucket every document is paired with the first `leaders` of the bucket, in the seeded order,
    so that a hot bucket of m documents costs m x leaders pairs and not m squared. Earlier documents are
    not paired with each other.
    """
    place = F.row_number().over(Window.partitionBy("band").orderBy("node"))
    first = bands.withColumn("place", place).where(F.col("place") <= leaders)
    leading = first.select("band", F.col("node").alias("low"))
    new = bands.where(F.substring("node", 1, 1) == F.lit(NEW)).withColumnRenamed("node", "high")
    joined = new.join(leading, "band").where("low < high")
    return joined.select("low", "high").distinct()


def duplicate_pairs(
    pairs: DataFrame, sketches: DataFrame, *, measure: Literal["jaccard", "containment"], threshold: float
) -> DataFrame:
    """The pairs whose true similarity is at least `threshold`, with their `similarity`."""
    sets = sketches.select("node", "shingles")
    lows = sets.withColumnsRenamed({"node": "low", "shingles": "low_shingles"})
    highs = sets.withColumnsRenamed({"node": "high", "shingles": "high_shingles"})
    both = pairs.join(lows, "low").join(highs, "high")
    found = both.select("low", "high", _similarity(measure).alias("similarity"))
    return found.where(F.col("similarity") >= threshold)


def _similarity(measure: Literal["jaccard", "containment"]) -> Column:
    """Jaccard: common shingles by all shingles of the two; containment: by those of the smaller one."""
    low, high = F.size("low_shingles"), F.size("high_shingles")
    common = F.size(F.array_intersect("low_shingles", "high_shingles"))
    return common / (low + high - common if measure == "jaccard" else F.least(low, high))
