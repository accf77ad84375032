"""Counts of n-grams of kept words, as integers: exact, without collisions, and cheap to shuffle.

An n-gram is n consecutive words of a document's list. With the vocabulary numbered from 1 in order of
the words, it is one number with the words as digits; so numbers sort as the words do, and no text is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import NGRAM_COUNTS
from mapring.settings.words import Words
from mapring.words import words
from spark_jobs.counting.chunks import chunks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LONGEST = 3  # a vocabulary of a million words leaves room for three digits in 63 bits
COUNTED = pa.schema(
    [
        pa.field("n", pa.int32(), nullable=False),
        pa.field("ngram", pa.int64(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class NgramCounter:
    """Counts the n-grams of batches; `vocabulary` is sorted. Runs inside tasks."""

    settings: Words
    vocabulary: pa.StringArray

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """COUNTED rows of batches with `text`."""
        for batch in chunks(batches):
            lists = words(batch.column("text"), self.settings)
            known = pc.fill_null(pc.index_in(lists.values.dictionary, self.vocabulary), -1).to_numpy() + np.int64(1)
            digits = known[lists.values.indices.to_numpy()]
            owner = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
            for n in range(2, self.settings.longest_ngram + 1):
                found, occurrences = np.unique(self._numbers(digits, owner, n), return_counts=True)
                columns = [np.full(len(found), n, np.int32), found, occurrences.astype(np.int64)]
                yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=COUNTED)

    def _numbers(self, digits: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
        """One number for each n-gram of known words that lies in one document."""
        count = max(len(digits) - n + 1, 0)
        whole = owner[:count] == owner[n - 1 :][:count]
        numbers = np.zeros(count, np.int64)
        for place in range(n):
            digit = digits[place : place + count]
            numbers = numbers * (len(self.vocabulary) + 1) + digit
            whole &= digit > 0
        return np.asarray(numbers[whole])


def top_ngrams(documents: DataFrame, vocabulary: pa.StringArray, settings: Words) -> pa.Table:
    """The n-grams of most occurrences, `most_ngrams` for each n from 2, ties in order of their words.

    Args:
        documents: with `text`.
        vocabulary: different words; n-grams with other words are not counted. Exact therefore for all n-grams that
            are more frequent than the rarest of these.
        settings: how texts become words, and how many rows to keep.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    assert settings.longest_ngram <= LONGEST
    vocabulary = vocabulary.take(pc.sort_indices(vocabulary))
    counter = NgramCounter(settings, vocabulary)
    counted = documents.select("text").mapInArrow(counter.__call__, from_arrow_schema(COUNTED))
    counted = counted.groupBy("n", "ngram").agg(F.sum("occurrences").alias("occurrences")).persist()
    parts = []
    for n in range(2, settings.longest_ngram + 1):
        most = counted.where(F.col("n") == n).orderBy(F.desc("occurrences"), "ngram").limit(settings.most_ngrams)
        parts.append(_spelled(most.toArrow(), vocabulary, n))
    counted.unpersist()
    return pa.concat_tables(parts) if parts else NGRAM_COUNTS.empty_table()


def _spelled(table: pa.Table, vocabulary: pa.StringArray, n: int) -> pa.Table:
    """Numbers back to words with a space between."""
    numbers = table.column("ngram").combine_chunks().to_numpy()
    digits = []
    for _ in range(n):
        numbers, digit = np.divmod(numbers, len(vocabulary) + 1)
        digits.append(vocabulary.take(pa.array(digit - 1)))
    text = pc.binary_join_element_wise(*reversed(digits), " ")
    return pa.table([table.column("n"), text, table.column("occurrences")], names=NGRAM_COUNTS.names).cast(NGRAM_COUNTS)
