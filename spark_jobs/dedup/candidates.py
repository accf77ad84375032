"""From sketches to duplicate pairs: bands propose pairs, the true similarity of the shingle sets decides.

In a hot bucket not all pairs are proposed. One of two duplicates that are no leaders there is lost only if they share
no other band: with b bands of r rows, of which h are hot, that is (1 - s**r)**(b - h) for a similarity s. Where 70 of
100 words stand in all of 2,000 documents, and each has one duplicate of similarity 0.81, bands alone propose 0.911 of
the pairs and leaders 0.896. Of 110,000 doc strings 8 buckets have more than 33, and without a limit the same ones stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from spark_jobs.dedup.classes import EARLIER
from spark_jobs.dedup.sketches import NODE_BYTES, binary_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LEADERS = 32  # a bucket of up to 33 documents gives all its pairs, a larger one 32 for each document
_PAIRS_AT_ONCE = 1 << 20  # 52 MB; a bucket of a million documents has 32 million
PAIR = pa.schema([pa.field("low", pa.binary(), nullable=False), pa.field("high", pa.binary(), nullable=False)])
EDGE = pa.schema([*PAIR, pa.field("similarity", pa.float64(), nullable=False)])
BUNDLE = pa.schema([("target", pa.int32()), ("bands", pa.binary()), ("nodes", pa.binary())])

Nodes = npt.NDArray[np.uint8]  # (documents, NODE_BYTES)


def candidate_pairs(sketches: DataFrame, partitions: int, leaders: int = LEADERS) -> DataFrame:
    """Pairs `low` < `high` of nodes that share a band, each once.

    In a bucket every document is paired with the first `leaders` of the bucket, in the seeded order,
    so that a hot bucket of m documents costs m x leaders pairs and not m squared. Earlier documents are
    not paired with each other. The bands are moved once, in bundles for each of the `partitions` tasks that sort
    them: as a row each they would cost Spark more than all the rest of the comparison.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    bands = sketches.select("node", "bands")
    bundles = bands.mapInArrow(partial(bundle_bands, targets=partitions), from_arrow_schema(BUNDLE))
    moved = bundles.repartitionById(partitions, "target")
    return moved.mapInArrow(partial(pair_batches, leaders=leaders), from_arrow_schema(PAIR)).distinct()


def bundle_bands(batches: Iterable[pa.RecordBatch], *, targets: int) -> Iterator[pa.RecordBatch]:
    """BUNDLE rows: for each target the bands that it sorts, and next to each its node. A band has one target."""
    for batch in batches:
        nodes, bands = _nodes_of(batch.column("node")), _numbers_of(batch.column("bands"))
        owner = np.repeat(np.arange(len(nodes)), pc.binary_length(batch.column("bands")).to_numpy() // bands.itemsize)
        target = (bands.view(np.uint64) % np.uint64(targets)).astype(np.int32)
        order = np.argsort(target, kind="stable")
        cuts = np.searchsorted(target[order], np.arange(targets + 1))
        parts = [order[first:last] for first, last in pairwise(cuts)]
        columns = [
            pa.array(range(targets), pa.int32()),
            pa.array([bands[part].tobytes() for part in parts], pa.binary()),
            pa.array([nodes[owner[part]].tobytes() for part in parts], pa.binary()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=BUNDLE)


def pair_batches(bundles: Iterable[pa.RecordBatch], *, leaders: int) -> Iterator[pa.RecordBatch]:
    """PAIR rows of all buckets of one partition's BUNDLE rows."""
    found = pa.Table.from_batches(bundles, BUNDLE)
    bands, nodes = _numbers_of(found.column("bands")), _nodes_of(found.column("nodes"))
    nodes, start = _buckets(bands, nodes)
    is_new = nodes[:, 0] != EARLIER[0]
    counts = np.where(is_new, np.minimum(np.arange(len(nodes)) - start, leaders), 0)  # pairs in which a row is `high`
    for first, last in _runs(counts):
        number = counts[first:last]
        high = np.repeat(np.arange(first, last), number)
        ends = np.cumsum(number)
        place = np.arange(len(high)) - np.repeat(ends - number, number)
        low = np.repeat(start[first:last], number) + place
        yield pa.RecordBatch.from_arrays([binary_rows(nodes[low]), binary_rows(nodes[high])], schema=PAIR)


def _buckets(bands: npt.NDArray[np.int64], nodes: Nodes) -> tuple[Nodes, npt.NDArray[np.int64]]:
    """The nodes of buckets of two or more, bucket by bucket and in their order; and where each row's bucket begins."""
    _, owner, sizes = np.unique(bands, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(sizes[owner] > 1)  # most bands have one document: only the others are sorted by node
    owner, nodes = owner[shared], nodes[shared]
    words = np.pad(nodes, ((0, 0), (0, -NODE_BYTES % 8))).view(">u8")  # numbers compare faster than bytes
    order = np.lexsort([*words.T[::-1], owner])
    owner = owner[order]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    return nodes[order], np.repeat(starts, np.diff(np.append(starts, len(owner))))


def _runs(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of rows [first, last) with about `_PAIRS_AT_ONCE` pairs each."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, "right")))
        if ends[last - 1] > done:
            yield first, last
        first = last


def duplicate_pairs(
    pairs: DataFrame, sketches: DataFrame, *, measure: Literal["jaccard", "containment"], threshold: float
) -> DataFrame:
    """The pairs whose true similarity is at least `threshold`, with their `similarity`."""
    from pyspark.sql.pandas.types import from_arrow_schema

    ends = pairs.select(F.explode(F.array("low", "high")).alias("node")).distinct()
    sets = sketches.select("node", "shingles").join(ends, "node", "left_semi")
    lows = sets.withColumnsRenamed({"node": "low", "shingles": "low_shingles"})
    highs = sets.withColumnsRenamed({"node": "high", "shingles": "high_shingles"})
    both = pairs.join(lows, "low").join(highs, "high")
    return both.mapInArrow(partial(edge_batches, measure=measure, threshold=threshold), from_arrow_schema(EDGE))


def edge_batches(
    batches: Iterable[pa.RecordBatch], *, measure: Literal["jaccard", "containment"], threshold: float
) -> Iterator[pa.RecordBatch]:
    """EDGE rows of those pairs whose `low_shingles` and `high_shingles` are similar enough."""
    for batch in batches:
        lows, highs = (batch.column(name) for name in ("low_shingles", "high_shingles"))
        similarity = pa.array(similarities(lows, highs, measure))
        columns = [batch.column("low"), batch.column("high"), similarity]
        edges = pa.RecordBatch.from_arrays(columns, schema=EDGE)
        yield edges.filter(pc.greater_equal(similarity, threshold))


def similarities(
    lows: pa.BinaryArray, highs: pa.BinaryArray, measure: Literal["jaccard", "containment"]
) -> npt.NDArray[np.float64]:
    """Jaccard: common shingles by all shingles of the two sets; containment: by those of the smaller one.

    Args:
        lows: N sets, each as the 8 bytes of its numbers, none of them twice.
        highs: the N sets to compare them with.
        measure: what is divided by what.
    """
    sizes = [pc.binary_length(sets).to_numpy() // np.int64().itemsize for sets in (lows, highs)]
    owner = np.concatenate([np.repeat(np.arange(len(size)), size) for size in sizes])
    numbers = np.concatenate([_numbers_of(sets) for sets in (lows, highs)])
    order = np.lexsort((numbers, owner))
    numbers, owner = numbers[order], owner[order]
    again = (numbers[1:] == numbers[:-1]) & (owner[1:] == owner[:-1])
    common = np.bincount(owner[1:][again], minlength=len(lows))
    base = sizes[0] + sizes[1] - common if measure == "jaccard" else np.minimum(*sizes)
    found: npt.NDArray[np.float64] = common / base
    return found


def _numbers_of(column: pa.BinaryArray | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """All numbers of a column that holds them as bytes."""
    return np.frombuffer(b"".join(column.to_pylist()), np.int64)


def _nodes_of(column: pa.BinaryArray | pa.ChunkedArray) -> Nodes:
    """All nodes of a column that holds one or several in each row."""
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, NODE_BYTES)
