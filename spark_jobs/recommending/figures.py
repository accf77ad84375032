"""How good lists are: each is held against all items that its user had not had, never against a sample of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spark_jobs.recommending.events import Floats, Ints

CUTOFF = 10


def top_items(scores: Floats, seen: Ints, count: int) -> Ints:
    """The items of the highest scores, the highest first, equal ones by place; none that is seen or scored -inf.

    Args:
        scores: of all items, (items,).
        seen: items that the user had.
        count: most items.
    """
    open_scores = np.array(scores, np.float64)
    open_scores[seen] = -np.inf
    count = min(count, len(open_scores))
    if not count:
        return np.empty(0, np.int64)
    least = np.partition(open_scores, len(open_scores) - count)[len(open_scores) - count]
    found = np.flatnonzero((open_scores >= least) & (open_scores > -np.inf))
    return found[np.lexsort((found, -open_scores[found]))][:count]


def hit(listed: Ints, liked: Ints) -> float:
    """1 where a listed item was liked, else 0."""
    return float(np.isin(listed, liked).any())


def gain(listed: Ints, liked: Ints, cutoff: int = CUTOFF) -> float:
    """NDCG: discounted gain of a list over that of the best list; gains are 1 of liked items."""
    discounts = 1.0 / np.log2(np.arange(2, cutoff + 2))
    reached = float((np.isin(listed[:cutoff], liked) * discounts[: len(listed[:cutoff])]).sum())
    best = float(discounts[: len(liked)].sum())
    return reached / best if best else 0.0


def coverage(lists: Sequence[Ints], items: int) -> float:
    """Share of all items that stand in any list."""
    return len(np.unique(np.concatenate(lists))) / items if len(lists) else 0.0
