"""Which of many duplicates stay: a maximal independent set of the graph of duplicate pairs.

Documents have an order: classes, and a seeded random one within each. A document stays if no neighbour before it
in that order stays, and is dropped if one does: the lexicographically first maximal independent set. So no two kept
documents are duplicates, and every dropped one has a kept twin that it is really similar to; transitive closure,
which would let a chain of small differences delete documents that share nothing, never happens.
Rounds find it in parallel (Luby 1986): whoever has no undecided neighbour before it stays. A random order needs
O(log n) rounds (Fischer and Noever 2018), for a chain or a star of a million as for anything else.

Small graphs are solved in the driver, large ones by Spark; both give the same set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring import storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_LOCAL_EDGES = 4_000_000  # 40 bytes each as collected, about 0.5 GB with everything made from them
EDGE_COLUMNS = ("low", "high", "similarity")


class Twins(NamedTuple):
    """For every dropped node its kept twin, and the position of the edge between them."""

    dropped: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    edge: npt.NDArray[np.int64]


def first_independent_set(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], nodes: int) -> Twins:
    """Solve a graph whose nodes 0..nodes-1 are numbered in their order; `low[i] < high[i]` are the ends of edge i.

    A dropped node's twin is its first kept neighbour of the round in which it is dropped.
    """
    edge = np.lexsort((low, high))
    twin = np.full(nodes, -1, np.int64)
    via = np.full(nodes, -1, np.int64)
    while len(edge):
        blocked = np.zeros(nodes, bool)
        blocked[high[edge]] = True
        hits = edge[~blocked[low[edge]]]
        found, first = np.unique(high[hits], return_index=True)  # edges are sorted: the first has the least low
        twin[found], via[found] = low[hits[first]], hits[first]
        edge = edge[(twin[low[edge]] < 0) & (twin[high[edge]] < 0)]
    dropped = np.flatnonzero(twin >= 0)
    return Twins(dropped, twin[dropped], via[dropped])


def drop_duplicates(
    edges: DataFrame, *, scratch: str, on_round: Callable[[int, int], None], most_local: int = MOST_LOCAL_EDGES
) -> DataFrame:
    """Decide a graph of duplicate pairs.

    Args:
        edges: `low`, `high` (binary, in the seeded order, low < high) and `similarity`, each pair once, persisted.
        scratch: directory for what Spark's rounds leave behind; the caller removes it.
        on_round: is told the round, from 1, and the number of edges that are still undecided.
        most_local: edges up to which the driver alone decides.

    Returns:
        `high` (dropped), `low` (its kept twin) and `similarity`, one row for each dropped document.
    """
    dropped: list[DataFrame] = []
    number, count = 1, edges.count()
    while count > most_local:
        on_round(number, count)
        hits, edges = _round(edges, storage.join(scratch, f"round-{number:03d}"))
        dropped.append(hits)
        number, count = number + 1, edges.count()
    on_round(number, count)
    dropped.append(_solve_here(edges))
    result = dropped[0]
    for part in dropped[1:]:
        result = result.unionByName(part)
    return result


def _round(edges: DataFrame, scratch: str) -> tuple[DataFrame, DataFrame]:
    """One round by joins; what it found and what is left is written, so that no plan grows with the rounds."""
    from pyspark.sql import functions as F

    spark = edges.sparkSession
    blocked = edges.select(F.col("high").alias("low")).distinct()
    minima = edges.join(blocked, "low", "left_anti")
    hits = minima.groupBy("high").agg(F.min(F.struct("low", "similarity")).alias("twin"))
    hits.select("high", "twin.*").write.parquet(f"{scratch}/hits")
    found = spark.read.parquet(f"{scratch}/hits")
    gone = found.select("high")
    rest = edges.join(gone, "high", "left_anti").join(gone.withColumnRenamed("high", "low"), "low", "left_anti")
    rest.select(*EDGE_COLUMNS).write.parquet(f"{scratch}/edges")
    return found.select(*EDGE_COLUMNS), spark.read.parquet(f"{scratch}/edges")


def _solve_here(edges: DataFrame) -> DataFrame:
    """Collect the edges and decide them in the driver."""
    table = edges.select(*EDGE_COLUMNS).toArrow().combine_chunks()
    both = pa.concat_arrays([_one_chunk(table.column("low")), _one_chunk(table.column("high"))]).dictionary_encode()
    names = both.dictionary
    rank = np.empty(len(names), np.int64)
    rank[pc.sort_indices(names).to_numpy()] = np.arange(len(names))
    ends = rank[both.indices.to_numpy(zero_copy_only=False)] if len(names) else np.empty(0, np.int64)
    twins = first_independent_set(ends[: len(table)], ends[len(table) :], len(names))
    return edges.sparkSession.createDataFrame(table.take(pa.array(twins.edge)), edges.select(*EDGE_COLUMNS).schema)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.array([], column.type)
