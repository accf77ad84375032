"""The test of two histograms: against hand-made sums, exact tail probabilities, and made-up samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2, hypergeom

from mapring.watch.distances import population_stability_index
from mapring.watch.homogeneity import LEAST_EXPECTED, differ, join, joined_bins


def counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_the_statistic_by_hand() -> None:
    """10 and 10 against 15 and 5: of 40 rows, 25 and 15, so 12.5 and 7.5 are expected of each."""
    by_hand = 2 * sum(o * math.log(o / e) for o, e in ((10, 12.5), (10, 7.5), (15, 12.5), (5, 7.5)))
    found = differ(counts(10, 10), counts(15, 5), tolerated=0, is_ordered=True)
    assert found.statistic == pytest.approx(by_hand)
    assert found.p_value == pytest.approx(chi2.sf(by_hand, 1))


def test_it_is_the_jensen_shannon_divergence_with_weights() -> None:
    first, second = counts(40, 30, 30), counts(20, 10, 70)
    p, q = first / 100, second / 100

    def entropy(shares: np.ndarray) -> float:
        return float(-(shares * np.log(shares)).sum())

    divergence = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    assert differ(first, second, tolerated=0, is_ordered=False).statistic == pytest.approx(2 * 200 * divergence)


@pytest.mark.parametrize(
    ("rows", "reference", "pooled"),
    [(50, 1000, 105), (200, 1000, 60), (50, 200, 50), (500, 500, 40), (67, 900, 54), (100, 2000, 9), (40, 900, 25)],
)
def test_small_p_values_are_nearly_exact_with_few_rows(rows: int, reference: int, pooled: int) -> None:
    """Of two bins the truth is known: with the margins given, one cell is hypergeometric."""
    cells = np.arange(max(0, pooled - reference), min(rows, pooled) + 1)
    chances = hypergeom(rows + reference, pooled, rows).pmf(cells)
    p_values = np.array(
        [
            differ(
                counts(pooled - cell, reference - pooled + cell),
                counts(cell, rows - cell),
                tolerated=0,
                is_ordered=True,
            ).p_value
            for cell in cells
        ]
    )
    for level in (1e-2, 1e-3, 1e-4, 1e-5):
        assert chances[p_values <= level].sum() <= 4 * level


@pytest.mark.parametrize("tolerated", [0.0, 0.02])
def test_false_alarms_come_as_often_as_they_may(tolerated: float) -> None:
    """2,000 samples of 20 skewed bins, from a distribution that is at the tolerated distance: 5 % are below 0.05."""
    random = np.random.default_rng(5)
    p = random.dirichlet(np.full(20, 0.4)) + 1e-3
    p /= p.sum()
    direction, low, high = random.normal(size=20), 0.0, 5.0
    for _ in range(50):
        q = p * np.exp((low + high) / 2 * direction)
        q /= q.sum()
        is_more = ((q - p) * np.log(q / p)).sum() > tolerated
        low, high = (low, (low + high) / 2) if is_more else ((low + high) / 2, high)
    p_values = [
        differ(random.multinomial(1000, p), random.multinomial(400, q), tolerated=tolerated, is_ordered=True).p_value
        for _ in range(2000)
    ]
    share = float((np.array(p_values) <= 0.05).mean())
    assert share <= 0.07 and (tolerated or share >= 0.03)


def test_a_difference_that_is_tolerated_is_none_however_many_rows_there_are() -> None:
    before, now = counts(10**9, 10**9), counts(51 * 10**15, 49 * 10**15)
    assert population_stability_index(before, now) < 0.002
    assert differ(before, now, tolerated=0.02, is_ordered=True).p_value > 0.99
    assert differ(before, now, tolerated=0, is_ordered=True).p_value < 1e-9
    assert differ(before, counts(6 * 10**16, 4 * 10**16), tolerated=0.02, is_ordered=True).p_value < 1e-9


def test_rare_bins_are_joined_until_chance_fills_them() -> None:
    reference, found = counts(1, 400, 2, 2, 400, 3, 192), counts(0, 40, 0, 1, 40, 0, 19)
    neighbours = joined_bins(reference, found, is_ordered=True)
    assert neighbours.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert joined_bins(counts(90, 9, 1), counts(90, 8, 2), is_ordered=True).tolist() == [0, 1, 2]
    groups = joined_bins(reference, found, is_ordered=False)
    pooled = join(reference + found, groups) / 1100 * 100
    assert (pooled[:-1] >= LEAST_EXPECTED).all() and len({groups[1], groups[4], groups[6]}) == 3
    assert join(reference, groups).sum() == reference.sum()


def test_bins_that_are_empty_on_both_sides_are_no_bins() -> None:
    with_empty = differ(counts(50, 0, 50, 0), counts(60, 0, 40, 0), tolerated=0, is_ordered=False)
    without = differ(counts(50, 50), counts(60, 40), tolerated=0, is_ordered=False)
    assert (with_empty.bins, with_empty.p_value) == (without.bins, without.p_value)


@pytest.mark.parametrize(
    ("before", "now"), [((0, 0), (5, 5)), ((5, 5), (0, 0)), ((0, 0), (0, 0)), ((9, 9), (0, 1)), ((99, 0), (50, 0))]
)
def test_nothing_one_row_and_one_bin_tell_nothing(before: tuple[int, int], now: tuple[int, int]) -> None:
    assert differ(counts(*before), counts(*now), tolerated=0.02, is_ordered=True).p_value == 1


def test_a_rare_label_that_fills_half_of_a_small_window_is_seen() -> None:
    """Of 967 rows it has 54, so chance would put 3.7 into the window, fewer than a group of several has."""
    assert differ(counts(20, 440, 440), counts(34, 17, 16), tolerated=0.02, is_ordered=False).p_value < 1e-15


def test_thirty_rows_of_one_label_among_many_are_seen() -> None:
    """No label alone is expected five times; put together by how frequent they are, the flood still stands out."""
    flood = np.zeros(77, np.int64)
    flood[5] = 30
    assert differ(np.full(77, 7), flood, tolerated=0.02, is_ordered=False).p_value < 1e-9
