"""The made-up months have what they say, and alarms are held against it fairly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.operations.drift import judge
from benchmarks.operations.drift_month import (
    HOURS,
    QUANTITIES,
    SIZES,
    SOURCES,
    WARM_UP_DAYS,
    _change,
    _softmax,
    make_month,
    population_stability_index,
)


def test_a_month_has_a_drift_of_each_size_and_the_same_numbers_for_the_same_seed() -> None:
    month = make_month(3)
    assert [drift.size for drift in month.planted] == list(SIZES)
    assert all(drift.start >= 24 * WARM_UP_DAYS and drift.start + drift.length <= HOURS for drift in month.planted)
    assert len({(drift.source, drift.quantity) for drift in month.planted}) == len(SIZES)
    assert make_month(3).counts.equals(month.counts) and not make_month(4).counts.equals(month.counts)
    assert set(month.counts["source"].to_pylist()) == set(SOURCES)
    assert set(month.counts["quantity"].to_pylist()) == {*QUANTITIES, "row"}
    assert make_month(3, with_drifts=False).planted == ()


@pytest.mark.parametrize("size", SIZES)
def test_a_planted_drift_is_as_large_as_it_says(size: float) -> None:
    random = np.random.default_rng(1)
    mean = random.dirichlet(np.full(12, 1.5)) * 0.98 + 0.02 / 12
    changed = _softmax(np.log(mean) + _change(random, mean, size))
    assert population_stability_index(mean, changed) == pytest.approx(size, rel=1e-6)


def test_alarms_are_found_late_or_false() -> None:
    month = make_month(3)
    first, second = month.planted[:2]
    calm = next(
        (source, quantity)
        for source in SOURCES
        for quantity in QUANTITIES
        if (source, quantity) not in {(drift.source, drift.quantity) for drift in month.planted}
    )
    alarms = {
        (first.source, first.quantity): {first.start + 5, first.start + 9, first.start + first.length + 3},
        (second.source, second.quantity): {second.start - 2},
        calm: {3, 300, 301, 302, 400},
    }
    verdict = judge([month], [alarms])
    assert verdict.delays == {SIZES[0]: [5], **{size: [None] for size in SIZES[1:]}}
    assert verdict.recall == 1 / len(SIZES)
    expected = 2 + (second.start - 2 >= 24 * WARM_UP_DAYS)
    assert verdict.false_alarms == expected, "an hour of the warm-up and one right after a drift are none"
