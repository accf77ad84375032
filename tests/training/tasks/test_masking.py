"""Masking: a pure function of seed, epoch and row, in the published shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.tasks.masking import Masking

SPECIAL = (0, 1, 2, 3, 4)


def masking(share: float = 0.15, seed: int = 17) -> Masking:
    return Masking(share=share, mask_id=4, special_ids=SPECIAL, vocabulary=500, seed=seed)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 499), min_size=1, max_size=80), share=st.floats(0.01, 0.99))
def test_only_ordinary_tokens_are_chosen_and_nothing_else_changes(ids: list[int], share: float) -> None:
    row = np.array(ids, np.int32)
    hidden, places = masking(share)(row, "row", 3)
    ordinary = sum(number not in SPECIAL for number in ids)
    assert len(places) == min(ordinary, max(1, round(share * ordinary)))
    assert not set(row[places].tolist()) & set(SPECIAL)
    others = np.setdiff1d(np.arange(len(ids)), places)
    assert np.array_equal(hidden[others], row[others])
    assert not set(hidden[places].tolist()) & {0, 1, 2, 3}


def test_a_row_is_masked_alike_in_an_epoch_and_otherwise_in_the_next() -> None:
    row = np.arange(5, 205, dtype=np.int32)
    first = masking()(row, "a", 0)
    assert all(map(np.array_equal, first, masking()(row, "a", 0)))
    for other in (masking()(row, "b", 0), masking()(row, "a", 1), masking(seed=18)(row, "a", 0)):
        assert not np.array_equal(first.places, other.places)


def test_four_fifths_are_hidden_and_a_tenth_each_drawn_and_left() -> None:
    row = np.arange(5, 405, dtype=np.int32)
    hidden = drawn = left = 0
    for number in range(200):
        found, places = masking()(row, str(number), 0)
        hidden += int((found[places] == 4).sum())
        left += int((found[places] == row[places]).sum())
        drawn += int(((found[places] != 4) & (found[places] != row[places])).sum())
    total = hidden + drawn + left
    assert total == 200 * 60
    assert abs(hidden / total - 0.8) < 0.02 and abs(drawn / total - 0.1) < 0.015 and abs(left / total - 0.1) < 0.015
