"""The most frequent n-grams, from counted keys back to words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import NGRAM_COUNTS
from spark_jobs.counting.keys import KeyCounter

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def top_ngrams(keys: DataFrame, counter: KeyCounter) -> pa.Table:
    """The n-grams of most occurrences, `most_ngrams` for each n from 2, ties in order of their words.

    An n-gram is n consecutive words of a document's list, all of the vocabulary. So the counts are exact, and no
    n-gram is missing that is more frequent than the rarest word of the vocabulary.
    """
    parts = [NGRAM_COUNTS.empty_table()]
    for n in range(2, counter.settings.longest_ngram + 1):
        most = keys.where(F.col("kind") == n).orderBy(F.desc("occurrences"), "key").limit(counter.settings.most_ngrams)
        parts.append(_spelled(most.toArrow(), counter, n))
    return pa.concat_tables(parts)


def _spelled(table: pa.Table, counter: KeyCounter, n: int) -> pa.Table:
    """Numbers back to words with a space between."""
    numbers = table.column("key").to_numpy()
    digits = []
    for _ in range(n):
        numbers, digit = np.divmod(numbers, counter.base)
        digits.append(counter.vocabulary.take(pa.array(digit - 1)))
    text = pc.binary_join_element_wise(*reversed(digits), " ")
    return pa.table([table.column("kind"), text, table.column("occurrences")], schema=NGRAM_COUNTS)
