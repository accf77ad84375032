"""Word counts and top terms: tasks count each batch, Spark adds the counts up, a bounded part is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from mapring.contract.schemas import TOP_TERMS, WORD_COUNTS
from mapring.settings.words import Words
from mapring.words import words
from spark_jobs.counting.chunks import chunks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COUNTED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("word", pa.string(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
    ]
)


class WordTotals(NamedTuple):
    """How many different words there are, and how many words altogether."""

    distinct: int
    occurrences: int


@dataclass(frozen=True)
class WordCounter:
    """Counts the words of batches by source and label; runs inside tasks."""

    settings: Words

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """COUNTED rows of batches with `source`, `label` and `text`, one for each (source, label, word) of a chunk."""
        return map(self.count, chunks(batches))

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Count one batch with whole-array operations: first words of documents, then documents of groups."""
        lists = words(batch.column("text"), self.settings)
        vocabulary, codes = lists.values.dictionary, lists.values.indices.to_numpy().astype(np.int64)
        size = max(len(vocabulary), 1)
        owner = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
        in_document, occurrences = np.unique(owner * size + codes, return_counts=True)
        groups, group = _groups(batch)
        key = group[in_document // size] * size + in_document % size
        found, place, documents = np.unique(key, return_inverse=True, return_counts=True)
        summed = np.zeros(len(found), np.int64)
        np.add.at(summed, place, occurrences)
        columns = groups.take(pa.array(found // size))
        return pa.RecordBatch.from_arrays(
            [
                columns.field("source"),
                columns.field("label"),
                vocabulary.take(pa.array(found % size)),
                pa.array(summed),
                pa.array(documents.astype(np.int64)),
            ],
            schema=COUNTED,
        )


def _groups(batch: pa.RecordBatch) -> tuple[pa.StructArray, np.ndarray]:
    """The different (source, label) of a batch as a struct array, and the place of each row in it."""
    sources = batch.column("source").dictionary_encode()
    labels = batch.column("label").dictionary_encode(null_encoding="encode")
    codes = sources.indices.to_numpy().astype(np.int64) * len(labels.dictionary) + labels.indices.to_numpy()
    different, group = np.unique(codes, return_inverse=True)
    struct = pa.StructArray.from_arrays(
        [
            sources.dictionary.take(pa.array(different // len(labels.dictionary))),
            labels.dictionary.take(pa.array(different % len(labels.dictionary))),
        ],
        names=["source", "label"],
    )
    return struct, group


def count_words(documents: DataFrame, settings: Words) -> DataFrame:
    """Occurrences and documents of each (source, label, word) of documents with `source`, `label` and `text`."""
    from pyspark.sql.pandas.types import from_arrow_schema

    counted = documents.select("source", "label", "text").mapInArrow(
        WordCounter(settings).__call__, from_arrow_schema(COUNTED)
    )
    sums = [F.sum(name).alias(name) for name in ("occurrences", "documents")]
    return counted.groupBy("source", "label", "word").agg(*sums)


def top_words(counted: DataFrame, most: int) -> tuple[pa.Table, WordTotals]:
    """The `most` words of most occurrences, ties in order of the word; and what all words sum to."""
    sums = [F.sum(name).alias(name) for name in ("occurrences", "documents")]
    by_word = counted.groupBy("word").agg(*sums).persist()
    table = by_word.orderBy(F.desc("occurrences"), "word").limit(most).toArrow()
    totals = by_word.agg(F.count("word"), F.coalesce(F.sum("occurrences"), F.lit(0))).collect()[0]
    by_word.unpersist()
    return table.select(WORD_COUNTS.names).cast(WORD_COUNTS), WordTotals(*totals)


def top_terms(counted: DataFrame, vocabulary: pa.Table, documents: int, most: int) -> pa.Table:
    """The `most` words of highest TF-IDF of each label and each source, ties in order of the word.

    TF is the word's share of all words of the label or source, IDF the natural logarithm of `documents` by the
    documents that hold the word (Sparck Jones 1972); words that every document holds score 0 and are left
    out. The score is computed once, from sums of integers, by Java's StrictMath: it has the same bits everywhere.

    Args:
        counted: what `count_words` gives, persisted.
        vocabulary: WORD_COUNTS rows; only these words are looked at.
        documents: number of documents in the corpus.
        most: rows of each label and source.
    """
    words = ("word", "occurrences")
    parted = counted.select(F.lit("source").alias("kind"), F.col("source").alias("name"), *words).unionByName(
        counted.where(F.col("label").isNotNull()).select(
            F.lit("label").alias("kind"), F.col("label").alias("name"), *words
        )
    )
    terms = parted.groupBy("kind", "name", "word").agg(F.sum("occurrences").alias("occurrences"))
    totals = parted.groupBy("kind", "name").agg(F.sum("occurrences").alias("words"))
    known = counted.sparkSession.createDataFrame(vocabulary.select(["word", "documents"]))
    frequency = F.col("occurrences").cast("double") / F.col("words").cast("double")
    scored = (
        terms.join(F.broadcast(known), "word")
        .join(F.broadcast(totals), ["kind", "name"])
        .withColumn("score", frequency * F.log(F.lit(float(documents)) / F.col("documents").cast("double")))
        .where("score > 0")
    )
    order = Window.partitionBy("kind", "name").orderBy(F.desc("score"), "word")
    ranked = scored.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= most)
    table = ranked.select(TOP_TERMS.names).orderBy("kind", "name", "rank").toArrow()
    return table.cast(TOP_TERMS)
