"""Levels of windows: their sum bounds false alerts, and they do not die out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control

from mapring.watch.online_discovery import adjusted, level


@given(st.lists(st.integers(0, 700), max_size=12), st.integers(2, 300))
def test_levels_add_up_to_no_more_than_a_rate_for_each_alert_and_each_memory(alerts: list[int], memory: int) -> None:
    total = sum(level(window, alerts, 0.1, memory) for window in range(700))
    assert total <= 0.1 * (len(set(alerts)) + 700 / memory) + 1e-9


def test_a_year_without_alerts_ends_no_stricter_than_it_began() -> None:
    assert level(8760, [], 0.1, 336) == level(0, [], 0.1, 336) == pytest.approx(0.1 / 336)


def test_alerts_make_later_windows_less_strict_and_earlier_ones_not() -> None:
    calm = level(500, [], 0.1, 336)
    assert level(500, [499], 0.1, 336) > level(500, [400], 0.1, 336) > calm
    assert level(500, [500, 501], 0.1, 336) == calm == level(500, [100], 0.1, 336)


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)))
def test_adjusted_p_values_are_those_of_benjamini_and_hochberg(p_values: np.ndarray) -> None:
    assert adjusted(p_values) == pytest.approx(false_discovery_control(p_values))


def test_without_alerts_few_windows_are_false() -> None:
    """Twenty years of windows with 24 uniform p-values each; 0.1 false ones are allowed in each 336."""
    random = np.random.default_rng(5)
    strictness = level(0, [], 0.1, 336)
    p_values = random.uniform(size=(20 * 8760, 24))
    false = sum(bool(adjusted(row)[0:].min() <= strictness) for row in p_values[p_values.min(axis=1) <= strictness])
    assert 25 <= false <= 85  # 52 are expected; both ends are four deviations away
