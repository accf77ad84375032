"""Words of labels, words of sources and n-grams, counted together as integers: no text is shuffled.

With the vocabulary numbered from 1 in order of the words, an n-gram is one number with its words as digits, and a
word of a label is a number with two digits. So keys are exact, and sort as the words do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.settings.words import Words
from spark_jobs.counting.chunks import chunks
from spark_jobs.counting.words import Integers, bag_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BY_LABEL, BY_SOURCE = -1, -2  # kinds of keys besides the n of n-grams
KEYS = pa.schema(
    [
        pa.field("kind", pa.int32(), nullable=False),
        pa.field("key", pa.int64(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class KeyCounter:
    """Counts keys of chunks; runs inside tasks. `vocabulary`, `labels` and `sources` are sorted, each value once.

    With a `label_separator` a document has several labels, and its words are counted under each of them.
    """

    settings: Words
    vocabulary: pa.StringArray
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    label_separator: str | None = None

    @property
    def base(self) -> int:
        """Of the digits: the words, and 0 for all that are not in the vocabulary."""
        return len(self.vocabulary) + 1

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """KEYS rows of batches with `source`, `label` and `text`."""
        for batch in chunks(batches):
            different, codes, owner = bag_of(batch.column("text"), self.settings)
            known = pc.fill_null(pc.index_in(different, self.vocabulary), -1).to_numpy().astype(np.int64) + 1
            digits = known[codes]
            by_source = (BY_SOURCE, _places(batch.column("source"), self.sources))
            for kind, places in (
                *((BY_LABEL, turn) for turn in self._labels_in_turn(batch.column("label"))),
                by_source,
            ):
                group = places[owner]
                yield _counted(kind, (group * self.base + digits)[group >= 0])
            for n in range(2, self.settings.longest_ngram + 1):
                yield _counted(n, ngram_keys(digits, owner, n, self.base))

    def _labels_in_turn(self, column: pa.StringArray) -> Iterator[Integers]:
        """Numbers of the documents' first labels, shape (rows,), then of their second ones, and so on; -1 for none."""
        if self.label_separator is None:
            yield _places(column, self.labels)
            return
        lists = pc.split_pattern(column, pattern=self.label_separator)
        of_names, row = _places(lists.flatten(), self.labels), pc.list_parent_indices(lists).to_numpy()
        turn = np.arange(len(row)) - np.searchsorted(row, row)
        for number in range(int(turn.max(initial=-1)) + 1):
            found = np.full(len(column), -1, np.int64)
            found[row[turn == number]] = of_names[turn == number]
            yield found


def _places(values: pa.StringArray, names: tuple[str, ...]) -> Integers:
    """The number of each value among the names, -1 where it is none of them."""
    places = pc.index_in(values, pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(places, -1).to_numpy().astype(np.int64))


def ngram_keys(digits: Integers, owner: Integers, n: int, base: int) -> Integers:
    """One number for each n-gram of known words (digits above 0) that lies in one document."""
    count = max(len(digits) - n + 1, 0)
    whole = owner[:count] == owner[n - 1 :][:count]
    keys = np.zeros(count, np.int64)
    for place in range(n):
        digit = digits[place : place + count]
        keys = keys * base + digit
        whole &= digit > 0
    return np.asarray(keys[whole])


def _counted(kind: int, keys: npt.NDArray[np.int64]) -> pa.RecordBatch:
    found, occurrences = np.unique(keys, return_counts=True)
    columns = [np.full(len(found), kind, np.int32), found, occurrences.astype(np.int64)]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=KEYS)


def count_keys(documents: DataFrame, counter: KeyCounter) -> DataFrame:
    """Sums of KEYS over documents with `source`, `label` and `text`."""
    from pyspark.sql.pandas.types import from_arrow_schema

    columns = documents.select("source", "label", "text")
    counted = columns.mapInArrow(counter.__call__, from_arrow_schema(KEYS))
    return counted.groupBy("kind", "key").agg(F.sum("occurrences").alias("occurrences"))
