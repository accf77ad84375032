"""The temperature: the best one, the same bits on any number of ranks, and sound where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from tests.training.thread_ring import ThreadRing, run_ranks
from training.ring.single import SingleRing
from training.temperature import HIGHEST, LOWEST, fit_temperature


def made_rows(seed: int, rows: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are surer than they should be, and true labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes))
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return 3 * logits, labels


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_it_is_the_best_one(seed: int) -> None:
    logits, labels = made_rows(seed)

    def nll(temperature: float) -> float:
        return float(
            torch.nn.functional.cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(labels))
        )

    best = minimize_scalar(nll, bounds=(LOWEST, HIGHEST), method="bounded")
    assert fit_temperature(SingleRing(), logits, labels) == pytest.approx(best.x, rel=1e-3)


@pytest.mark.parametrize("size", [2, 3])
def test_it_has_the_same_bits_on_any_number_of_ranks(size: int) -> None:
    logits, labels = made_rows(5)
    alone = fit_temperature(SingleRing(), logits, labels)

    def work(ring: ThreadRing) -> float | None:
        rows = slice(0, 0) if ring.rank == 2 else slice(ring.rank, None, 2)  # a third rank has none
        return fit_temperature(ring, logits[rows], labels[rows])

    assert run_ranks(size, work) == [alone] * size


def test_rows_that_tell_no_temperature() -> None:
    sure = np.eye(3) * 8
    assert fit_temperature(SingleRing(), sure, np.array([0, 1, 2])) is None
    barely = np.tile([0.1, -0.1], (40, 1))
    assert fit_temperature(SingleRing(), barely, np.zeros(40, np.int64)) is None, "all right says nothing of hard texts"
    assert fit_temperature(SingleRing(), sure, np.array([1, 2, 0])) == HIGHEST
    assert fit_temperature(SingleRing(), np.zeros((0, 3)), np.zeros(0, np.int64)) is None
    enormous = np.array([[1e5, 0.0], [1e5, 0.0], [0.0, 1e5]])
    assert fit_temperature(SingleRing(), enormous, np.array([0, 1, 1])) == HIGHEST
