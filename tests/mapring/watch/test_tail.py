"""The tail of counts, held against scipy's distribution and against itself where sums become integrals."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from mapring.watch import tail
from mapring.watch.tail import upper_tail


@given(st.integers(1, 2000), st.floats(0.001, 0.9), st.floats(1e-4, 0.3), st.floats(0, 1))
def test_it_is_the_tail_of_a_beta_binomial(rows: int, share: float, spread: float, place: float) -> None:
    count = round(place * rows)
    total = 1 / spread - 1
    expected = float(betabinom.sf(count - 1, rows, share * total, (1 - share) * total))
    assert upper_tail(count, rows, share, spread) == pytest.approx(expected, rel=1e-5, abs=1e-10)


def test_with_little_spread_it_is_nearly_the_tail_of_a_binomial() -> None:
    assert upper_tail(130, 1000, 0.1, 1e-7) == pytest.approx(float(binom.sf(129, 1000, 0.1)), rel=0.01)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("spread", [1e-4, 1e-3, 1e-2])
def test_a_sum_and_its_integral_agree_where_one_takes_over(share: float, spread: float) -> None:
    rows = tail._SUMMED_ROWS
    deviation = (share * (1 - share) * spread) ** 0.5
    for times in (1, 3, 5):
        count = round((share + times * deviation) * rows)
        summed, integral = upper_tail(count, rows, share, spread), upper_tail(count + 1, rows + 1, share, spread)
        assert 0.93 * summed < integral < 1.33 * summed


def test_a_billion_rows_cost_no_time() -> None:
    begin = time.monotonic()
    assert upper_tail(110_000_000, 1_000_000_000, 0.1, 1e-4) < 1e-3
    assert upper_tail(1_000_000_000, 1_000_000_000, 0.1, 0.01) < 1e-9
    assert time.monotonic() - begin < 1
