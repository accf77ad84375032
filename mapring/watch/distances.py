"""How far two histograms with the same bins are apart: three published measures, as pure functions of counts.

Counts may be of any size that int64 holds; they become shares before anything is multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def shares(counts: Counts | Sequence[int]) -> Shares:
    """Counts over their sum, which must be above 0."""
    numbers = np.asarray(counts, np.float64)
    found: Shares = numbers / numbers.sum()
    return found


def population_stability_index(expected: Counts | Sequence[int], found: Counts | Sequence[int]) -> float:
    """Sum over bins of (q - p) ln(q / p), with p and q the shares of a bin in both histograms.

    It is the symmetric Kullback-Leibler divergence (Jeffreys 1946, "An invariant form for the prior probability in
    estimation problems", equation 1); credit scoring reads less than 0.1 as stable and more than 0.25 as a shift
    (Siddiqi 2006, "Credit Risk Scorecards"). An empty bin counts as half a row, so that the sum stays finite.
    """
    p, q = (
        np.maximum(np.asarray(counts, np.float64), 0.5) / max(float(np.sum(counts, dtype=np.float64)), 1.0)
        for counts in (expected, found)
    )
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon_divergence(expected: Counts | Sequence[int], found: Counts | Sequence[int]) -> float:
    """In bits, from 0 of equal shares to 1 of histograms that have no bin in common.

    The entropy of the mean of both distributions less the mean of their entropies (Lin 1991, "Divergence measures
    based on the Shannon entropy", equation 4.1 with both weights 1/2).
    """
    p, q = shares(expected), shares(found)
    middle = (p + q) / 2
    return float(max(0.0, _entropy(middle) - (_entropy(p) + _entropy(q)) / 2))


def kolmogorov_smirnov(expected: Counts | Sequence[int], found: Counts | Sequence[int]) -> float:
    """Largest difference of the cumulated shares, from 0 to 1; of bins that have an order.

    It is the two-sample statistic of Smirnov (1939) with all values of a bin tied, so never above that of the values.
    """
    return float(np.abs(np.cumsum(shares(expected)) - np.cumsum(shares(found))).max())


def _entropy(distribution: Shares) -> float:
    """In bits."""
    held = distribution[distribution > 0]
    return float(-(held * np.log2(held)).sum())
