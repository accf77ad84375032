"""How improbable a count is, where shares vary more than a binomial says: the upper tail of a beta-binomial."""

from __future__ import annotations

import math

import numpy as np

_SUMMED_ROWS = 20_000  # windows up to this size are summed term by term, 0.3 ms at most


def upper_tail(count: int, rows: int, share: float, spread: float) -> float:
    """Probability of `count` or more of `rows`, where the share is beta distributed.

    Above 20,000 rows the sum is taken as an integral: a beta distribution with the mean and the variance of the
    beta-binomial share. Its upper tail is the heavier one of the two, at that size by less than a third for a share of
    1 % and five standard deviations, so a little is lost and nothing is found too easily.

    Args:
        count: rows of the label.
        rows: all rows, at least `count`.
        share: the expected share, above 0 and below 1.
        spread: the intraclass correlation, above 0 and below 1: the variance of a share of n rows is
            share * (1 - share) * (1 + (n - 1) * spread) / n.
    """
    if count <= 0:
        return 1.0
    if rows > _SUMMED_ROWS:
        return _beta_tail(count, rows, share, spread)
    total = 1 / spread - 1
    a, b = share * total, (1 - share) * total
    others = rows - count
    first = (
        math.lgamma(rows + 1)
        - math.lgamma(count + 1)
        - math.lgamma(others + 1)
        + math.lgamma(count + a)
        + math.lgamma(others + b)
        - math.lgamma(rows + total)
        + math.lgamma(total)
        - math.lgamma(a)
        - math.lgamma(b)
    )
    up = np.arange(count, rows, dtype=np.float64)  # each term is the one before it times a ratio
    ratios = np.log((rows - up) / (up + 1)) + np.log((a + up) / (b + rows - up - 1))
    terms = first + np.concatenate([[0.0], np.cumsum(ratios)])
    return float(min(1.0, np.exp(terms).sum()))


def _beta_tail(count: int, rows: int, share: float, spread: float) -> float:
    from scipy.special import betainc

    total = rows / (1 + (rows - 1) * spread) - 1
    lower = (count - 0.5) / rows
    return float(betainc((1 - share) * total, share * total, 1 - lower))
