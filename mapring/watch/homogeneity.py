"""Are two histograms samples of one distribution, but for a difference that is tolerated? A test with few rows, too.

The statistic is that of the likelihood ratio, G = 2 sum O ln(O / E) over the bins of both histograms (Wilks 1938),
which is 2 (n + m) ln 2 times their Jensen-Shannon divergence in bits with the weights n / (n + m) and m / (n + m)
(Grosse et al. 2002, "Analysis of symbolic sequences using the Jensen-Shannon divergence", equation 10). Where both are
of one distribution, it is chi-squared with bins - 1 degrees of freedom. Where their population stability index is d,
it is noncentral chi-squared with the noncentrality d n m / (n + m), since the index is the quadratic form of both that
G is, to second order (for the index itself Yurdakul 2018, "Statistical Properties of Population Stability Index").
So the p-value is of the hypothesis that the index is at most d: a billion rows make no drift of a trifle, and ten rows
make none of chance.

Of the statistics that could be taken, G has the best tails: Pearson's, of two bins with the shares 0.1 and 0.9 and 50
rows, says 3e-6 where the truth is 7e-5. Rare bins are put together until chance would put 5 rows in each but one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import xlogy
from scipy.stats import chi2, ncx2

from mapring.watch.distances import Counts, Shares

LEAST_EXPECTED = 5.0  # the usual bound (Cochran 1954), below which the tails are not those of chi-squared


class Tested(NamedTuple):
    """The statistic, its p-value, and the joined bins that it was made of: for each bin, the number of its group."""

    statistic: float
    p_value: float
    groups: Counts

    @property
    def bins(self) -> int:
        """How many joined bins there are."""
        return int(self.groups.max()) + 1


def differ(expected: Counts, found: Counts, *, tolerated: float, is_ordered: bool) -> Tested:
    """Test whether two histograms differ by more than a tolerated population stability index.

    Args:
        expected: counts (k,) of the reference.
        found: counts (k,) of the same bins.
        tolerated: an index up to which a difference is none.
        is_ordered: whether rare bins are joined with their neighbours; else with others that are as rare.

    Returns:
        With a p-value of 1 where either is empty or everything is in one bin.
    """
    groups = joined_bins(expected, found, is_ordered=is_ordered)
    before, now = join(expected, groups), join(found, groups)
    m, n = float(before.sum()), float(now.sum())
    if len(before) < 2 or not m or not n:
        return Tested(0.0, 1.0, groups)
    pooled = (before + now) / (m + n)
    statistic = 2 * float((xlogy(before, before / (m * pooled)) + xlogy(now, now / (n * pooled))).sum())
    statistic = max(0.0, statistic)
    degrees, off = len(before) - 1, tolerated * n * m / (n + m)
    p_value = ncx2.sf(statistic, degrees, off) if off > 0 else chi2.sf(statistic, degrees)
    return Tested(statistic, float(np.clip(p_value, 0.0, 1.0)), groups)


def joined_bins(expected: Counts, found: Counts, *, is_ordered: bool) -> Counts:
    """For each bin the number of its group, counted from 0 without a gap; bins that are empty in both are in the first.

    Chance would put at least LEAST_EXPECTED rows of the smaller histogram in each group but the last. That one has what
    is left, the rarest or the highest bins: in a group with others they could grow without being seen, and of one
    group with few rows the tails are still right.
    """
    total = expected.astype(np.float64) + found
    rows = float(total.sum())
    smaller = min(float(expected.sum(dtype=np.float64)), float(found.sum(dtype=np.float64)))
    chance = total / rows * smaller if rows else total
    order = np.arange(len(chance)) if is_ordered else np.argsort(-chance, kind="stable")
    groups = np.zeros(len(chance), np.int64)
    groups[order] = _neighbours(chance[order])
    return np.where(chance > 0, groups, 0)


def join(counts: Counts, groups: Counts) -> Counts:
    """Counts of groups of bins."""
    joined = np.zeros(int(groups.max(initial=0)) + 1, np.int64)
    np.add.at(joined, groups, counts)
    return joined


def _neighbours(rows: Shares) -> Counts:
    groups, group, held = np.zeros(len(rows), np.int64), 0, 0.0
    for place, value in enumerate(rows):
        if held >= LEAST_EXPECTED and value > 0:
            group, held = group + 1, 0.0
        groups[place] = group
        held += value
    return groups
