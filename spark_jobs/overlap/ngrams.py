"""Documents to rows of n-gram hashes in Spark; with a filter, only those that may be known leave the task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from spark_jobs.dedup.shingles import ngrams, unique
from spark_jobs.overlap.hash_filter import HashFilter

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame


@dataclass(frozen=True, kw_only=True)
class NgramLister:
    """Lists the n-grams of texts; runs inside tasks.

    `keys` are columns repeated in the rows; `only` is what to leave out all else by.
    """

    unit: Literal["word", "character"]
    length: int
    keys: tuple[str, ...]
    only: Broadcast[HashFilter] | None = None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For each batch with the keys and `text`: the keys, `ngram`, and `ngrams`, how many the text has.

        Each n-gram stands once for each text; `ngrams` counts different ones.
        """
        for batch in batches:
            hashes, owner = ngrams(batch.column("text"), unit=self.unit, length=self.length)
            if self.only is not None:
                suspect = np.zeros(batch.num_rows, bool)
                suspect[owner[self.only.value.may_hold(hashes)]] = True
                hashes, owner = hashes[suspect[owner]], owner[suspect[owner]]
            found = unique(hashes, owner, batch.num_rows)
            sizes = np.diff(found.offsets)
            hashes, owner = found.hashes, np.repeat(np.arange(batch.num_rows), sizes)
            if self.only is not None:
                may = self.only.value.may_hold(hashes)
                hashes, owner = hashes[may], owner[may]
            columns = [batch.column(key).take(pa.array(owner)) for key in self.keys]
            numbers = [pa.array(hashes.view(np.int64)), pa.array(sizes[owner].astype(np.int64))]
            yield pa.RecordBatch.from_arrays([*columns, *numbers], names=[*self.keys, "ngram", "ngrams"])


def list_ngrams(documents: DataFrame, lister: NgramLister) -> DataFrame:
    """The rows of NgramLister for documents with its keys and `text`."""
    from pyspark.sql.types import LongType, StructType

    fields = documents.select(*lister.keys).schema.fields
    schema = StructType([*fields]).add("ngram", LongType(), False).add("ngrams", LongType(), False)
    return documents.select(*lister.keys, "text").mapInArrow(lister.__call__, schema)
