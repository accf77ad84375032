"""Figures of customer service, on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.applications.service import left_out, recall_at


def test_every_fifth_intent_is_left_out_whatever_their_order() -> None:
    names = [f"intent {number:02d}" for number in range(77)]
    assert len(left_out(names)) == 15 and left_out(reversed(names)) == left_out(names)
    assert min(left_out(names)) == "intent 02" and max(left_out(names)) == "intent 72"


@pytest.mark.parametrize(("kept", "expected"), [(0.95, 0.5), (1.0, 0.25), (0.5, 0.75)])
def test_recall_is_told_at_the_highest_threshold_that_keeps_enough(kept: float, expected: float) -> None:
    inside = np.concatenate([np.arange(20) / 20 + 0.05, [0.02, 0.09, 0.54, 0.99]])
    found = recall_at(kept, inside, np.arange(24) < 20)
    assert found == expected
