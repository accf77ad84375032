"""Terms that stand out in a label or a source: TF-IDF from counted keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F

from mapring.contract.schemas import TOP_TERMS
from spark_jobs.counting.keys import BY_LABEL, BY_SOURCE, KeyCounter

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def top_terms(keys: DataFrame, counter: KeyCounter, frequencies: pa.Table, documents: int) -> pa.Table:
    """The `top_terms` words of highest TF-IDF of each label and each source, ties in order of the word.

    TF is the word's share of all words of the label or source, IDF the natural logarithm of `documents` by the
    documents that hold the word (Sparck Jones 1972); words that every document holds score 0 and are left
    out. The score is computed once, from sums of integers, by Java's StrictMath: it has the same bits everywhere.

    Args:
        keys: what `count_keys` gives.
        counter: what the keys mean.
        frequencies: `word` and `documents` of the vocabulary, in any order.
        documents: number of documents in the corpus.
    """
    spark = keys.sparkSession
    place = pc.index_in(frequencies.column("word"), counter.vocabulary).cast(pa.int64())
    known = spark.createDataFrame(
        pa.table({"place": pc.add(place, 1), "word": frequencies["word"], "documents": frequencies["documents"]})
    )
    names = [
        {"kind": kind, "group": group, "family": family, "name": name}
        for kind, family, values in ((BY_LABEL, "label", counter.labels), (BY_SOURCE, "source", counter.sources))
        for group, name in enumerate(values)
    ]
    groups = spark.createDataFrame(pa.Table.from_pylist(names))
    parts = keys.where(F.col("kind").isin(BY_LABEL, BY_SOURCE)).select(
        "kind",
        F.expr(f"key div {counter.base}").alias("group"),
        F.expr(f"key % {counter.base}").alias("place"),
        "occurrences",
    )
    totals = parts.groupBy("kind", "group").agg(F.sum("occurrences").alias("words"))
    frequency = F.col("occurrences").cast("double") / F.col("words").cast("double")
    scored = (
        parts.join(F.broadcast(known), "place")
        .join(F.broadcast(totals.join(F.broadcast(groups), ["kind", "group"])), ["kind", "group"])
        .withColumn("score", frequency * F.log(F.lit(float(documents)) / F.col("documents").cast("double")))
        .where("score > 0")
    )
    order = Window.partitionBy("kind", "group").orderBy(F.desc("score"), "place")
    ranked = scored.withColumn("rank", F.row_number().over(order))
    ranked = ranked.where(F.col("rank") <= counter.settings.top_terms).drop("kind").withColumnRenamed("family", "kind")
    return ranked.select(TOP_TERMS.names).orderBy("kind", "name", "rank").toArrow().cast(TOP_TERMS)
