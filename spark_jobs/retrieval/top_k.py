"""The nearest vectors of a bank, exactly: products of whole blocks propose, float64 decides.

A product of matrices hangs in its last bits on the shape of the matrices. So it only proposes: all vectors that may be
among the nearest, given how wrong a product can be. Their scores are computed one by one in float64, from the two
vectors alone. So what is found is exact and the same whatever the blocks, batches, threads and precision of products.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spark_jobs.retrieval.products import Products, Vectors, Work, one_thread_of_torch

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_QUERY_ROWS = 512  # rows of a product: 64 MB of scores against a block of 32,768; a tenth faster than 256 rows
_GROUP = 64  # columns of a product, far apart, of which only the largest value is looked at first
_MOST = (
    256  # vectors proposed for a query, beyond four times those asked for; more and queries are looked at one by one
)
_PAIRS = 1024  # of a query and a proposed vector, at a time: 3 MB in float64 at 384 dimensions stay in the cache
_WORK = Work()


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
    is_brief = _WORK.is_brief(len(queries), len(order), queries.shape[1])
    parts = np.array_split(queries, min(threads, len(queries)))
    # Threads of our own instead of those of BLAS: what is not a product gains from them, too
    with (
        threadpool_limits(1, "blas"),
        one_thread_of_torch() if is_brief else nullcontext(),
        ThreadPoolExecutor(len(parts)) as pool,
    ):
        found = list(pool.map(lambda part: _nearest(part, blocks, count, order, is_brief), parts))
    if is_brief:
        _WORK.note_done_twice(sum(twice for _, twice in found), len(queries))
    return Nearest(*(np.concatenate(column) for column in zip(*(one for one, _ in found), strict=True)))


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
    scores = np.full(proposed.shape, -np.inf)
    rows, columns = np.nonzero(proposed >= 0)
    places = proposed[rows, columns]
    for first in range(0, len(places), _PAIRS):
        pairs = slice(first, first + _PAIRS)
        left = queries[rows[pairs]].astype(np.float64)
        right = vectors_at(blocks, places[pairs]).astype(np.float64)
        scores[rows[pairs], columns[pairs]] = np.vecdot(left, right)
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


def _nearest(
    queries: Vectors, blocks: Sequence[Vectors], count: int, order: Integers, is_brief: bool
) -> tuple[Nearest, int]:
    """What is found for some of the queries, and of how many of them it was sought twice."""
    products = Products(min(len(queries), _QUERY_ROWS), is_brief=is_brief)
    chunks = [queries[start : start + _QUERY_ROWS] for start in range(0, len(queries), _QUERY_ROWS)]
    proposals = [_Proposals(len(chunk), count, 2 * products.error(chunk)) for chunk in chunks]
    first = 0
    for block in blocks:
        products.take(block)
        for chunk, proposal in zip(chunks, proposals, strict=True):
            proposal.add(products.of(chunk), first)
        first += len(block)
    for proposal in proposals:
        proposal.places[proposal.have_too_many] = -1  # these are looked for again, below
    parts = [
        decide(chunk, blocks, proposal.places, count, order) for chunk, proposal in zip(chunks, proposals, strict=True)
    ]
    found = Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    too_many = np.flatnonzero(np.concatenate([proposal.have_too_many for proposal in proposals]))
    if is_brief and len(too_many):
        again, _ = _nearest(queries[too_many], blocks, count, order, False)
        found.places[too_many], found.scores[too_many] = again
    elif len(too_many):
        margin = max(proposal.margin for proposal in proposals)
        for row in too_many:
            one = _nearest_of_one(queries[row], blocks, count, order, margin)
            found.places[row], found.scores[row] = one.places[0], one.scores[0]
    return found, len(too_many)


class _Proposals:
    """Places in the bank that may be among the nearest of each query, (Q, P), with their products; -1 is none.

    A vector that is among the `count` nearest has a product of at least the `count` largest product less `margin`,
    twice the error of a product: once for its own, once for the other. `have_too_many` tells queries of which what was
    proposed is not all.
    """

    def __init__(self, queries: int, count: int, margin: float) -> None:
        self.margin = margin
        self.places = np.empty((queries, 0), np.int64)
        self.have_too_many = np.zeros(queries, np.bool_)
        self._count = count
        self._products = np.empty((queries, 0), np.float32)

    def add(self, products: Vectors, first: int) -> None:
        """Products of the queries with a block whose vectors begin at a place."""
        columns, have_too_many = _columns_that_may_be_best(products, self._count, self.margin)
        self.have_too_many |= have_too_many
        own = np.take_along_axis(products, np.maximum(columns, 0), 1)
        self.places = np.concatenate([self.places, np.where(columns < 0, -1, columns + first)], axis=1)
        self._products = np.concatenate([self._products, np.where(columns < 0, -np.inf, own)], axis=1)
        self._leave_out()

    def _leave_out(self) -> None:
        """What is too far from the best of all blocks so far; of queries that have too many only some are kept."""
        if self.places.shape[1] <= self._count:
            return
        best = -np.partition(-self._products, self._count - 1, axis=1)[:, self._count - 1]
        is_left = (self._products >= (best - self.margin)[:, None]) & (self.places >= 0)
        self.have_too_many |= is_left.sum(axis=1) > 4 * self._count + _MOST
        width = max(self._count, int(is_left[~self.have_too_many].sum(axis=1).max(initial=0)))
        chosen = np.argsort(np.where(is_left, -self._products, np.inf), axis=1)[:, :width]
        is_left = np.take_along_axis(is_left, chosen, 1)
        self._products = np.where(is_left, np.take_along_axis(self._products, chosen, 1), -np.inf)
        self.places = np.where(is_left, np.take_along_axis(self.places, chosen, 1), -1)


def _columns_that_may_be_best(products: Vectors, count: int, margin: float) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Columns of the `count` largest values of each row and of all that are less by up to `margin`, in no order.

    The largest value of every 64 columns takes one fast pass. The `count` largest of these are values of the row, so
    the least of them bounds the row's `count` largest value; little is left that is not below. A row that has fewer
    columns than another is filled with -1; one that has too many gets the first of them, and is told.
    """
    rows, width = products.shape
    if width <= count:
        return np.broadcast_to(np.arange(width), (rows, width)), np.zeros(rows, np.bool_)
    groups = width // _GROUP
    values = products
    if groups > 2 * count:
        values = products[:, : groups * _GROUP].reshape(rows, _GROUP, groups).max(axis=1)
    place = values.shape[1] - count
    least = np.partition(values, place, axis=1)[:, place] - np.float32(margin)
    row, column = np.divmod(np.flatnonzero(products >= least[:, None]), width)
    counts = np.bincount(row, minlength=rows)
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    most = 4 * count + _MOST
    is_kept = number < most
    columns = np.full((rows, min(int(counts.max()), most)), -1)
    columns[row[is_kept], number[is_kept]] = column[is_kept]
    return columns, counts > most


def _nearest_of_one(query: Vectors, blocks: Sequence[Vectors], count: int, order: Integers, margin: float) -> Nearest:
    """Of a query (H,) that very many vectors are about equally near to."""
    products = np.concatenate([block @ query for block in blocks])
    least = -np.partition(-products, count - 1)[count - 1] - np.float32(margin)
    return decide(query[None], blocks, np.flatnonzero(products >= least)[None], count, order)
