"""Bins that depend on no data."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapring.histogram import is_share, lower_bounds, upper_bound


def test_shares_have_bins_of_equal_width_and_bounds_belong_to_the_bin_above() -> None:
    assert lower_bounds([0.0, 0.019, 0.02, 0.3, np.float32(0.3), 1.0], shares=True).tolist() == [
        *(0.0, 0.0, 0.02, 0.3, 0.3, 1.0)
    ]
    assert is_share("short_line_share") and is_share("language_score") and not is_share("words")


def test_numbers_have_eight_bins_an_octave_and_zero_one_of_its_own() -> None:
    found = lower_bounds([0, 1, 8, 9, 15, 16, 17, 18, 1000], shares=False).tolist()
    assert found == [0, 1, 8, 9, 15, 16, 16, 18, 960]


@given(st.just(0.0) | st.floats(1e-9, 1e12), st.booleans())
def test_a_value_lies_in_its_bin(value: float, shares: bool) -> None:
    value = min(value, 1.0) if shares else value
    lower = float(lower_bounds([value], shares=shares)[0])
    upper = upper_bound(lower, shares=shares)
    assert lower <= value * (1 + 1e-12) + 1e-5 * shares and (value < upper or value == lower == 0)
    assert float(lower_bounds([lower], shares=shares)[0]) == lower
