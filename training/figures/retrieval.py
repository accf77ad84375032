"""Figures of retrieval: on which rank each query's document comes among all documents.

A product of matrices in floats depends in its last bits on how many queries a batch has, and so on the number of
ranks. Here embeddings are first rounded to whole numbers so small that every product and every sum of products is a
whole number of at most 2**53: what BLAS makes of them is exact, whatever it does first, and equal documents tie.
With 768 dimensions that leaves 21 binary digits to the largest value of an embedding; so two documents may change
places where their scores differ by less than a millionth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from mapring.finite import checked_finite
from training.batches import Integers
from training.figures.fixed_point import FRACTION_BITS, Floats, from_fixed_point

CUTOFFS = (1, 5, 10)
_BLOCK_CELLS = 1 << 21  # of a matrix of scores or embeddings at a time: 16 MB in float64
_BLOCK_QUERIES = 512


def blocks_of_ranks(queries: npt.ArrayLike, documents: npt.ArrayLike, true: npt.ArrayLike) -> Iterator[Integers]:
    """The rank of each query's document among all documents by their inner product, exact up to the rounding above.

    Ties are counted against the model: the rank is the number of documents that score higher, plus the number of
    those that score the same, the true one among them. For the cosine similarity pass embeddings of length 1.

    Args:
        queries: embeddings, shape (queries, dimensions); a rank passes those of its own rows.
        documents: embeddings, shape (documents, dimensions); every rank passes all of them.
        true: the place of each query's document, shape (queries,).

    Yields:
        Of the next queries, shape (up to 512,): from 1 to the number of documents.

    Raises:
        StageError: shapes do not fit, a value is not finite, or a place is not one of a document.
    """
    asked, held, places = np.asarray(queries), np.asarray(documents), np.asarray(true)
    _check(asked, held, places)
    bits = (53 - (asked.shape[1] - 1).bit_length()) // 2
    largest = max(float(np.abs(block).max(initial=0)) for block in np.array_split(held, _pieces(held)))
    for first in range(0, len(asked), _BLOCK_QUERIES):
        block = asked[first : first + _BLOCK_QUERIES]
        ranks = np.zeros(len(block), np.int64)
        # A query's own scale changes nothing about its ranks, and hangs on no other query
        left = _whole(block, np.abs(block).max(axis=1, keepdims=True), bits)
        wanted = (left * _whole(held[places[first : first + len(block)]], largest, bits)).sum(axis=1)[:, None]
        size = max(1, _BLOCK_CELLS // max(len(block), held.shape[1]))
        for start in range(0, len(held), size):
            scores = left @ _whole(held[start : start + size], largest, bits).T
            ranks += np.count_nonzero(scores >= wanted, axis=1)
        yield ranks


def rank_sums(ranks: npt.ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> Integers:
    """What a rank of the ring counts of its queries' ranks, shape (queries,); to be summed over the ring.

    Returns:
        Shape (2 + cutoffs,): queries, sum of 1 / rank in units of 2**-30, queries whose rank is at most each cutoff.
    """
    found = np.asarray(ranks, np.int64)
    reciprocals = ((1 << FRACTION_BITS) + found // 2) // found  # rounded, in whole numbers
    return np.array([len(found), reciprocals.sum(), *((found <= cutoff).sum() for cutoff in cutoffs)], np.int64)


def retrieval_figures(sums: Integers, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Any]:
    """Figures of the summed `rank_sums`.

    Returns:
        `queries`; `mean_reciprocal_rank` and, for each cutoff, `recall_at_<cutoff>`, the share of queries whose
        document is that far up; None without queries.
    """
    queries, reciprocals, *hits = sums.tolist()
    return {
        "queries": queries,
        "mean_reciprocal_rank": from_fixed_point(reciprocals) / queries if queries else None,
        **{
            f"recall_at_{cutoff}": count / queries if queries else None
            for cutoff, count in zip(cutoffs, hits, strict=True)
        },
    }


def _whole(values: npt.NDArray[Any], largest: float | Floats, bits: int) -> Floats:
    """The values as whole numbers of at most `bits` binary digits, `largest` being the largest of them."""
    _, exponent = np.frexp(np.asarray(largest, np.float64))  # powers of two, so that scaling rounds nothing
    return np.asarray(np.rint(np.ldexp(values.astype(np.float64), bits - exponent)))


def _pieces(values: npt.NDArray[Any]) -> int:
    return max(1, min(len(values), values.size // _BLOCK_CELLS))


def _check(queries: npt.NDArray[Any], documents: npt.NDArray[Any], true: npt.NDArray[Any]) -> None:
    fit = queries.ndim == documents.ndim == 2 and queries.shape[1] == documents.shape[1] > 0
    if not fit or true.shape != queries.shape[:1]:
        raise StageError(
            f"found queries of shape {queries.shape}, documents of shape {documents.shape} and {true.size} places, "
            "expected (queries, dimensions), (documents, dimensions) and a place for each query; "
            "embed both with the same model"
        )
    if len(true) and not 0 <= true.min() <= true.max() < len(documents):
        raise StageError(
            f"found places from {true.min()} to {true.max()} among {len(documents)} documents, expected from 0 to "
            f"{len(documents) - 1}; pass the documents of all ranks"
        )
    for values, what in ((queries, "embeddings of queries"), (documents, "embeddings of documents")):
        for block in np.array_split(values, _pieces(values)):
            checked_finite(block, what)
