"""Occurrences and documents of words: tasks count chunks, Spark adds the counts up, the most frequent stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import functions as F

from mapring.contract.schemas import WORD_COUNTS
from mapring.settings.words import Words
from mapring.words import words
from spark_jobs.counting.chunks import chunks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Integers = npt.NDArray[np.int64]


class Bag(NamedTuple):
    """The words of a batch of texts: `codes` into the different words, and the `owner` of each, in order."""

    different: pa.StringArray
    codes: Integers
    owner: Integers


def bag_of(texts: pa.StringArray, settings: Words) -> Bag:
    """Cut a batch of texts into words."""
    lists = words(texts, settings)
    owner = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
    return Bag(lists.values.dictionary, lists.values.indices.to_numpy().astype(np.int64), owner)


class WordTotals(NamedTuple):
    """How many different words there are, and how many words altogether."""

    distinct: int
    occurrences: int


@dataclass(frozen=True)
class WordCounter:
    """Counts the words of documents; runs inside tasks."""

    settings: Words

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """WORD_COUNTS rows of batches with `text`, one for each different word of a chunk."""
        return map(self.count, chunks(batches))

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Count one batch: every word once for each occurrence, and once for each document."""
        different, codes, owner = bag_of(batch.column("text"), self.settings)
        size = len(different)
        occurrences = np.bincount(codes, minlength=size)
        documents = np.bincount(np.unique(owner * size + codes) % max(size, 1), minlength=size)
        return pa.RecordBatch.from_arrays([different, pa.array(occurrences), pa.array(documents)], schema=WORD_COUNTS)


def top_words(documents: DataFrame, settings: Words) -> tuple[pa.Table, WordTotals]:
    """The `most_words` words of most occurrences, ties in order of the word; and what all words sum to.

    `documents` has `text`.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    counted = documents.select("text").mapInArrow(WordCounter(settings).__call__, from_arrow_schema(WORD_COUNTS))
    sums = [F.sum(name).alias(name) for name in ("occurrences", "documents")]
    by_word = counted.groupBy("word").agg(*sums).persist()
    table = by_word.orderBy(F.desc("occurrences"), "word").limit(settings.most_words).toArrow()
    totals = by_word.agg(F.count("word"), F.coalesce(F.sum("occurrences"), F.lit(0))).collect()[0]
    by_word.unpersist()
    return table.select(WORD_COUNTS.names).cast(WORD_COUNTS), WordTotals(*totals)
