"""How well the rows of groups are ranked by scores: NDCG, with ties shared, the same in any order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mapring.errors import InputError, StageError
from mapring.finite import checked_finite

Keys = Sequence[str] | Sequence[int] | npt.NDArray[Any]


class DiscountedGain(NamedTuple):
    """NDCG@k of every group that has a relevant row."""

    mean: float | None  # over these groups; None where there is none
    per_group: dict[Any, float]  # in ascending order of the groups
    without_relevant: int  # groups left out, as no order of their rows is better than another
    cutoff: int


def discounted_gain(groups: Keys, scores: npt.ArrayLike, relevance: npt.ArrayLike, cutoff: int = 10) -> DiscountedGain:
    """Normalized discounted cumulative gain at a cutoff (Järvelin and Kekäläinen 2002).

    The gain of a row is its relevance, and its discount log2(1 + its rank). Rows of equal score share the mean of
    their gains (McSherry and Najork 2008), which is the expectation over all orders of them; as in scikit-learn.

    Args:
        groups: the query or other group of each row.
        scores: shape (rows,), all finite.
        relevance: shape (rows,), 0 (not relevant) or more.
        cutoff: how many rows of a group count.

    Raises:
        StageError: a value is not finite, columns differ in length, or the cutoff is less than 1.
        InputError: a relevance is negative.
    """
    found, gains = checked_finite(scores, "scores"), checked_finite(relevance, "relevance")
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if not len(group) == len(found) == len(gains) or cutoff < 1:
        raise StageError(
            f"found {len(group)} groups, {len(found)} scores and {len(gains)} relevances at a cutoff of {cutoff}, "
            "expected as many of each and a cutoff of at least 1; gather every column from all ranks in the same order"
        )
    if not len(group):
        return DiscountedGain(None, {}, 0, cutoff)
    if gains.min() < 0:
        raise InputError(
            f"found relevance {gains.min():.6g}, expected 0 or more; shift the scale so that 0 is the least"
        )
    starts = np.flatnonzero(np.diff(np.sort(group), prepend=-1))
    ranks = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))  # from 0, in sorted order
    discounts = np.where(ranks < cutoff, 1 / np.log2(ranks + 2), 0.0)

    order = np.lexsort((-gains, -found, group))  # gains last, so that sums over ties have one order
    sorted_groups, sorted_scores = group[order], found[order]
    differs = (sorted_groups[1:] != sorted_groups[:-1]) | (sorted_scores[1:] != sorted_scores[:-1])
    ties = np.flatnonzero(np.concatenate([[True], differs]))  # where rows of equal group and score begin
    sizes = np.diff(ties, append=len(group))
    tied = np.add.reduceat(gains[order], ties) / sizes * np.add.reduceat(discounts, ties)
    reached = np.add.reduceat(tied, np.searchsorted(ties, starts))
    ideal = np.add.reduceat(gains[np.lexsort((-gains, group))] * discounts, starts)

    relevant = ideal > 0
    quotients = reached[relevant] / ideal[relevant]
    per_group = dict(zip(names[relevant].tolist(), quotients.tolist(), strict=True))
    mean = float(quotients.mean()) if len(quotients) else None
    return DiscountedGain(mean, per_group, int((~relevant).sum()), cutoff)


def query_figures(queries: Keys, scores: npt.ArrayLike, relevance: npt.ArrayLike) -> dict[str, Any]:
    """How well the candidates of queries are ranked; arguments and errors are those of `discounted_gain`.

    A query with one candidate has one order only, and one without a relevant candidate no better order: both are left
    out.

    Returns:
        `ndcg_at_10`, the mean over the others, None where there is none; `ranked_queries`, the number of the others.
    """
    _, query, candidates = np.unique(np.asarray(queries), return_inverse=True, return_counts=True)
    several = candidates[query] > 1
    found = discounted_gain(query[several], np.asarray(scores)[several], np.asarray(relevance)[several], 10)
    return {"ndcg_at_10": found.mean, "ranked_queries": len(found.per_group)}
