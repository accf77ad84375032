"""Distances of histograms, against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapring.watch.distances import jensen_shannon_divergence, kolmogorov_smirnov, population_stability_index


def test_psi_of_two_bins() -> None:
    """Shares 1/2 and 1/2 become 3/4 and 1/4: 1/4 ln(3/2) - 1/4 ln(1/2) = 1/4 ln 3."""
    assert population_stability_index([50, 50], [75, 25]) == pytest.approx(math.log(3) / 4)
    assert population_stability_index([75, 25], [500, 500]) == pytest.approx(math.log(3) / 4), "it is symmetric"


def test_an_empty_bin_counts_as_half_a_row() -> None:
    p, q = (0.5 / 10, 1.0), (5 / 10, 5 / 10)
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability_index([0, 10], [5, 5]) == pytest.approx(expected)
    assert population_stability_index([0, 0], [0, 0]) == 0, "of nothing there is nothing to tell"


def test_jensen_shannon_of_two_bins() -> None:
    """The mean of (1, 0) and (1/2, 1/2) is (3/4, 1/4), of entropy 2 - 3/4 log2 3; theirs are 0 and 1 bit."""
    expected = 2 - 0.75 * math.log2(3) - 0.5
    assert jensen_shannon_divergence([8, 0], [3, 3]) == pytest.approx(expected)
    assert jensen_shannon_divergence([5, 0], [0, 7]) == 1, "nothing in common is one bit"
    assert jensen_shannon_divergence([5, 10], [50, 100]) == 0


def test_kolmogorov_smirnov_is_the_largest_step_between_cumulated_shares() -> None:
    """0.1, 0.4, 1 against 0.3, 0.9, 1."""
    assert kolmogorov_smirnov([1, 3, 6], [30, 60, 10]) == pytest.approx(0.5)
    assert kolmogorov_smirnov([1, 3, 6], [10, 30, 60]) == pytest.approx(0)


def test_a_billion_rows_do_not_overflow() -> None:
    """10**18 rows are near the end of int64, and their products are far beyond it."""
    small, large = np.array([50, 50]), np.array([75, 25]) * 10**16
    assert population_stability_index(small, large) == pytest.approx(math.log(3) / 4)
    assert kolmogorov_smirnov(small, large) == pytest.approx(0.25)
    assert jensen_shannon_divergence(small, large) == pytest.approx(jensen_shannon_divergence([2, 2], [3, 1]))
