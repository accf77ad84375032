"""Losses as integers: the same sum in any order, never around its end, and never of what is no number."""

from __future__ import annotations

import math

import pytest
import torch

from mapring.errors import StageError
from training.exact_sums import MOST_NATS, fixed_point, mean_loss


def test_a_mean_is_exact_to_a_unit() -> None:
    losses = [0.1, 2.5, 1e-7, 3e4]
    assert mean_loss(sum(fixed_point(torch.tensor(loss)) for loss in losses), 4) == pytest.approx(
        math.fsum(losses) / 4, abs=2**-24
    )
    assert mean_loss(0, 0) is None


def test_absurd_losses_count_as_much_as_is_counted() -> None:
    for loss in (1.1e13, math.inf, 3.0e38):
        assert mean_loss(fixed_point(torch.tensor(loss)), 100) == MOST_NATS / 100


def test_no_number_is_refused() -> None:
    with pytest.raises(StageError, match=r"a loss that is not a number.*lower train\.learning_rate"):
        fixed_point(torch.tensor(math.nan))
