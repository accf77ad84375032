"""What is counted of documents besides their words: sizes of duplicate clusters, histograms of measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import CLUSTER_SIZES, MEASURE_COUNTS
from mapring.histogram import is_share, lower_bounds

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def cluster_sizes(marked: DataFrame) -> pa.Table:
    """How many clusters there are of each size and rule: a kept document with those dropped for it.

    A document that is kept in earlier shards counts. The different sizes are few: n documents have less than
    the root of 2 n of them.
    """
    dropped = marked.where("duplicate_rule is not null").groupBy("duplicate_rule", "kept_doc_id", "kept_in").count()
    sized = dropped.groupBy(F.col("duplicate_rule").alias("rule"), (F.col("count") + 1).alias("documents"))
    table = sized.agg(F.count("*").alias("clusters")).orderBy("rule", "documents").toArrow()
    return table.cast(CLUSTER_SIZES)


@dataclass(frozen=True)
class MeasureHistogram:
    """Counts stored measures by bins; `names` are those of a row's numbers, in order. Runs inside tasks."""

    names: Sequence[str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """MEASURE_COUNTS rows of batches with `measures`, lists as long as the names."""
        for batch in batches:
            lists = batch.column("measures").drop_null()
            rows = pc.list_flatten(lists).to_numpy(zero_copy_only=False).reshape(len(lists), len(self.names))
            for name, values in zip(self.names, rows.T, strict=True):
                bounds, documents = np.unique(lower_bounds(values, shares=is_share(name)), return_counts=True)
                columns = [pa.repeat(name, len(bounds)), pa.array(bounds), pa.array(documents.astype(np.int64))]
                yield pa.RecordBatch.from_arrays(columns, schema=MEASURE_COUNTS)


def measure_histograms(documents: DataFrame, names: Sequence[str]) -> pa.Table:
    """Histograms of the measures of all documents that were measured, kept or not.

    Args:
        documents: with `measures`, a list of numbers, or null where nothing was measured.
        names: of the numbers in the lists.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    if not names:
        return MEASURE_COUNTS.empty_table()
    counted = documents.select("measures").mapInArrow(
        MeasureHistogram(names).__call__, from_arrow_schema(MEASURE_COUNTS)
    )
    summed = counted.groupBy("measure", "lower").agg(F.sum("documents").alias("documents"))
    return summed.orderBy("measure", "lower").toArrow().cast(MEASURE_COUNTS)
