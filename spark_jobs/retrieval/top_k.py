"""The nearest vectors of a bank, exactly: products of whole blocks in float32 propose, float64 decides.

A product of matrices in float32 hangs in its last bits on the shape of the matrices. So it only proposes: a few more
vectors than are asked for, whose scores are then computed one by one in float64, from the two vectors alone. Where the
bound on float32's error says that another vector might belong among them, all that reach the last one's score within
that bound are computed, too. So what is found is exact and the same whatever the blocks, batches and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_QUERY_ROWS = 256  # rows of a product: 32 MB of scores against a block of 32,768
_MORE = 16  # vectors proposed beyond those asked for
_GROUPS = 64  # of the columns of a product; only in those with the largest maxima the best are looked for
_PAIR_CELLS = 1 << 21  # of gathered vectors at a time: 16 MB in float64
_ROUNDING = 2.0**-24  # relative, of one operation in float32


class Nearest(NamedTuple):
    """Of each query the places of its nearest vectors in the bank and their inner products, both (Q, K)."""

    places: Integers
    scores: Floats


def nearest(queries: Vectors, blocks: Sequence[Vectors], count: int, order: Integers) -> Nearest:
    """The `count` vectors of the largest inner product with each query, best first, all where there are fewer.

    Args:
        queries: (Q, H), of about length 1, as the bank's vectors.
        blocks: the bank, one (N_i, H) behind the other; they may be mapped into memory, and are read one by one.
        count: how many to find, at least 1.
        order: of the bank's vectors among those of equal score, (N,): the least comes first.
    """
    count = min(count, sum(len(block) for block in blocks))
    if not len(queries):
        return Nearest(np.empty((0, count), np.int64), np.empty((0, count)))
    proposed, floors = _propose(queries, blocks, count + _MORE)
    found = decide(queries, blocks, proposed, count, order)
    bound = 2 * queries.shape[1] * _ROUNDING * max(1.0, float(_largest_length(queries)))
    for row in np.flatnonzero(found.scores[:, -1] < floors + bound):  # another one might be as near
        near = _all_within(queries[row], blocks, found.scores[row, -1] - bound)
        one = decide(queries[row : row + 1], blocks, near[None], count, order)
        found.places[row], found.scores[row] = one.places[0], one.scores[0]
    return found


def decide(queries: Vectors, blocks: Sequence[Vectors], proposed: Integers, count: int, order: Integers) -> Nearest:
    """The best `count` of the proposed vectors, by their scores in float64.

    Args:
        queries: as for `nearest`.
        blocks: as for `nearest`.
        count: as for `nearest`.
        order: as for `nearest`.
        proposed: places in the bank, (Q, P) with P of at least `count`, no place twice in a row; -1 is none, which at
            most P - `count` of a row are.
    """
    scores = np.full(proposed.shape, -np.inf)
    rows, columns = np.nonzero(proposed >= 0)
    places = proposed[rows, columns]
    size = max(1, _PAIR_CELLS // queries.shape[1])
    for first in range(0, len(rows), size):
        some = slice(first, first + size)
        left = queries[rows[some]].astype(np.float64)
        scores[rows[some], columns[some]] = (left * vectors_at(blocks, places[some])).sum(axis=1)
    best = np.lexsort((order[proposed], -scores), axis=1)[:, :count]
    return Nearest(np.take_along_axis(proposed, best, 1), np.take_along_axis(scores, best, 1))


def vectors_at(blocks: Sequence[Vectors], places: Integers) -> Vectors:
    """The vectors at places of the bank, (P, H)."""
    ends = np.cumsum([len(block) for block in blocks])
    found = np.empty((len(places), blocks[0].shape[1]), np.float32)
    owner = np.searchsorted(ends, places, side="right")
    for number in np.unique(owner):
        mine = np.flatnonzero(owner == number)
        found[mine] = blocks[number][places[mine] - (ends[number] - len(blocks[number]))]
    return found


def _propose(queries: Vectors, blocks: Sequence[Vectors], keep: int) -> tuple[Integers, Floats]:
    """Places of the best `keep` vectors in float32, (Q, P), and a score in float32 that no other exceeds, (Q,)."""
    places = np.empty((len(queries), 0), np.int64)
    scores = np.empty((len(queries), 0), np.float32)
    floors = np.full(len(queries), -np.inf)
    first = 0
    for block in blocks:
        own_places, own_scores = [], []
        for start in range(0, len(queries), _QUERY_ROWS):
            products = queries[start : start + _QUERY_ROWS] @ block.T
            columns = _best_columns(products, keep)
            own_places.append(columns + first)
            own_scores.append(np.take_along_axis(products, columns, 1))
            if columns.shape[1] < len(block):
                left_out = own_scores[-1].min(axis=1)
                floors[start : start + _QUERY_ROWS] = np.maximum(floors[start : start + _QUERY_ROWS], left_out)
        places = np.concatenate([places, np.concatenate(own_places)], axis=1)
        scores = np.concatenate([scores, np.concatenate(own_scores)], axis=1)
        if places.shape[1] > keep:
            best = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
            places, scores = np.take_along_axis(places, best, 1), np.take_along_axis(scores, best, 1)
            floors = np.maximum(floors, scores.min(axis=1))
        first += len(block)
    return places, floors


def _best_columns(products: Vectors, keep: int) -> Integers:
    """Columns of the `keep` largest values of each row, in no order; all where there are fewer.

    The largest value of every 64 columns, which stand far apart, takes one fast pass. A value that is among the best
    is in one of the `keep` groups of the largest maxima, so no more than these are looked into.
    """
    rows, width = products.shape
    if width <= keep:
        return np.broadcast_to(np.arange(width), (rows, width))
    groups = width // _GROUPS
    if groups <= 2 * keep:
        return np.argpartition(-products, keep - 1, axis=1)[:, :keep]
    whole = groups * _GROUPS
    largest = products[:, :whole].reshape(rows, _GROUPS, groups).max(axis=1)
    chosen = np.argpartition(-largest, keep - 1, axis=1)[:, :keep]
    inside = (chosen[:, :, None] + np.arange(_GROUPS) * groups).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(whole, width), (rows, width - whole))
    columns = np.concatenate([inside, rest], axis=1)
    best = np.argpartition(-np.take_along_axis(products, columns, 1), keep - 1, axis=1)[:, :keep]
    return np.take_along_axis(columns, best, 1)


def _all_within(query: Vectors, blocks: Sequence[Vectors], least: float) -> Integers:
    """Places of all vectors whose product with one query (H,) is at least that, in float32."""
    found, first = [], 0
    for block in blocks:
        found.append(np.flatnonzero(block @ query >= least) + first)
        first += len(block)
    return np.concatenate(found)


def _largest_length(vectors: Vectors) -> float:
    return float(np.sqrt(np.einsum("qh,qh->q", vectors, vectors).max(initial=0)))
