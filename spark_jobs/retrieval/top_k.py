"""The nearest vectors of a bank, exactly: products of whole blocks in float32 propose, float64 decides.

A product of matrices in float32 hangs in its last bits on the shape of the matrices. So it only proposes: a few more
vectors than are asked for, whose scores are then computed one by one in float64, from the two vectors alone. Where the
bound on float32's error says that another vector might belong among them, all that reach the last one's score within
that bound are computed, too. So what is found is exact and the same whatever the blocks, batches and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_QUERY_ROWS = 512  # rows of a product: 64 MB of scores against a block of 32,768; a tenth faster than 256 rows
_MORE = 8  # vectors proposed beyond those asked for
_GROUP = 64  # columns of a product, far apart, of which only the largest value is looked at first
_PAIRS = 8192  # of a query and a proposed vector, at a time: 25 MB in float64 at 384 dimensions
_ROUNDING = 2.0**-24  # relative, of one operation in float32


class Nearest(NamedTuple):
    """Of each query the places of its nearest vectors in the bank and their inner products, both (Q, K)."""

    places: Integers
    scores: Floats


def nearest(queries: Vectors, blocks: Sequence[Vectors], count: int, order: Integers, *, threads: int = 1) -> Nearest:
    """The `count` vectors of the largest inner product with each query, best first, all where there are fewer.

    Args:
        queries: (Q, H), of about length 1, as the bank's vectors.
        blocks: the bank, one (N_i, H) behind the other; they may be mapped into memory, and are read one by one.
        count: how many to find, at least 1.
        order: of the bank's vectors among those of equal score, (N,): the least comes first.
        threads: each takes a part of the queries.
    """
    count = min(count, sum(len(block) for block in blocks))
    if not len(queries):
        return Nearest(np.empty((0, count), np.int64), np.empty((0, count)))
    parts = np.array_split(queries, min(threads, len(queries)))
    # Threads of our own instead of those of BLAS: what is not a product gains from them, too
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(parts)) as pool:
        found = list(pool.map(lambda part: _nearest(part, blocks, count, order), parts))
    return Nearest(*(np.concatenate(column) for column in zip(*found, strict=True)))


def decide(queries: Vectors, blocks: Sequence[Vectors], proposed: Integers, count: int, order: Integers) -> Nearest:
    """The best `count` of the proposed vectors, by their scores in float64.

    Args:
        queries: as for `nearest`.
        blocks: as for `nearest`.
        proposed: places in the bank, (Q, P), no place twice in a row; -1 is none. Of fewer than `count` in a row the
            last places are -1 and their scores -inf.
        count: as for `nearest`.
        order: as for `nearest`.
    """
    scores = np.empty(proposed.shape)
    width = min(proposed.shape[1], _PAIRS)
    for first in range(0, len(proposed), _PAIRS // width):
        rows = slice(first, first + _PAIRS // width)
        left = queries[rows].astype(np.float64)[:, None, :]
        for start in range(0, proposed.shape[1], width):
            places = proposed[rows, start : start + width]
            right = vectors_at(blocks, np.maximum(places, 0).ravel()).astype(np.float64)
            scores[rows, start : start + width] = np.vecdot(left, right.reshape(*places.shape, -1))
    scores[proposed < 0] = -np.inf
    best = np.lexsort((order[proposed], -scores), axis=1)[:, :count]
    return Nearest(np.take_along_axis(proposed, best, 1), np.take_along_axis(scores, best, 1))


def vectors_at(blocks: Sequence[Vectors], places: Integers) -> Vectors:
    """The vectors at places of the bank, (P, H)."""
    if len(blocks) == 1:
        return np.take(blocks[0], places, axis=0)
    ends = np.cumsum([len(block) for block in blocks])
    found = np.empty((len(places), blocks[0].shape[1]), np.float32)
    owner = np.searchsorted(ends, places, side="right")
    for number in np.unique(owner):
        mine = np.flatnonzero(owner == number)
        found[mine] = blocks[number][places[mine] - (ends[number] - len(blocks[number]))]
    return found


def _nearest(queries: Vectors, blocks: Sequence[Vectors], count: int, order: Integers) -> Nearest:
    proposed, floors = _propose(queries, blocks, count + _MORE)
    found = decide(queries, blocks, proposed, count, order)
    bound = 2 * queries.shape[1] * _ROUNDING * max(1.0, _largest_length(queries))
    for row in np.flatnonzero(found.scores[:, -1] < floors + bound):  # another one might be as near
        near = _all_within(queries[row], blocks, found.scores[row, -1] - bound)
        one = decide(queries[row : row + 1], blocks, near[None], count, order)
        found.places[row], found.scores[row] = one.places[0], one.scores[0]
    return found


def _propose(queries: Vectors, blocks: Sequence[Vectors], keep: int) -> tuple[Integers, Floats]:
    """Places of at least the best `keep` vectors in float32, (Q, P), and of each query a score that no other exceeds.

    A row's places are in no order; those that it has fewer than another row are -1.
    """
    places = np.empty((len(queries), 0), np.int64)
    scores = np.empty((len(queries), 0), np.float32)
    floors = np.full(len(queries), -np.inf)
    first = 0
    for block in blocks:
        own_places = np.full((len(queries), 0), -1)
        own_scores = np.empty((len(queries), 0), np.float32)
        for start in range(0, len(queries), _QUERY_ROWS):
            some = slice(start, start + _QUERY_ROWS)
            products = queries[some] @ block.T
            columns = _best_columns(products, keep)
            missing = columns.shape[1] - own_places.shape[1]
            if missing > 0:
                own_places = np.pad(own_places, ((0, 0), (0, missing)), constant_values=-1)
                own_scores = np.pad(own_scores, ((0, 0), (0, missing)), constant_values=-np.inf)
            width = slice(0, columns.shape[1])
            values = np.take_along_axis(products, np.maximum(columns, 0), 1)
            own_places[some, width] = np.where(columns < 0, -1, columns + first)
            own_scores[some, width] = np.where(columns < 0, -np.inf, values)
            if columns.shape[1] < len(block):
                left_out = np.where(columns < 0, np.inf, values).min(axis=1)
                floors[some] = np.maximum(floors[some], left_out)
        places = np.concatenate([places, own_places], axis=1)
        scores = np.concatenate([scores, own_scores], axis=1)
        if places.shape[1] > 2 * keep:
            best = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
            places, scores = np.take_along_axis(places, best, 1), np.take_along_axis(scores, best, 1)
            floors = np.maximum(floors, scores.min(axis=1))
        first += len(block)
    return places, floors


def _best_columns(products: Vectors, keep: int) -> Integers:
    """Columns of at least the `keep` largest values of each row, in no order; -1 where a row has fewer than others.

    The largest value of every 64 columns takes one fast pass. The `keep` largest of these are values of the row, so
    what is less than the least of them is not among the best; little is left that is not.
    """
    rows, width = products.shape
    if width <= keep:
        return np.broadcast_to(np.arange(width), (rows, width))
    groups = width // _GROUP
    if groups > 2 * keep:
        largest = products[:, : groups * _GROUP].reshape(rows, _GROUP, groups).max(axis=1)
        least = np.partition(largest, groups - keep, axis=1)[:, groups - keep]
        row, column = np.divmod(np.flatnonzero(products >= least[:, None]), width)
        counts = np.bincount(row, minlength=rows)
        if counts.max() <= 4 * keep:  # else many are equal
            columns = np.full((rows, counts.max()), -1)
            columns[row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)] = column
            return columns
    return np.argpartition(-products, keep - 1, axis=1)[:, :keep]


def _all_within(query: Vectors, blocks: Sequence[Vectors], least: float) -> Integers:
    """Places of all vectors whose product with one query (H,) is at least that, in float32."""
    found, first = [], 0
    for block in blocks:
        found.append(np.flatnonzero(block @ query >= least) + first)
        first += len(block)
    return np.concatenate(found)


def _largest_length(vectors: Vectors) -> float:
    return float(np.sqrt(np.einsum("qh,qh->q", vectors, vectors).max(initial=0)))
