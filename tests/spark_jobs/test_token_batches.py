"""Token batches: every row once, within the budget, with little padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.predictor import token_batches


@given(lengths=st.lists(st.integers(1, 64), max_size=200), budget=st.integers(1, 512))
def test_every_row_comes_once_and_batches_fit_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


def test_sorted_batches_waste_little() -> None:
    lengths = [1 + (index * 37) % 64 for index in range(4096)]
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in token_batches(lengths, 2048))
    assert (padded - sum(lengths)) / padded < 0.04
