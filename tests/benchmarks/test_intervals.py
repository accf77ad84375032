"""Ratios of speeds and their bounds; the model of an allreduce."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import speed_ratio
from benchmarks.link import exchange_seconds
from benchmarks.ring_model import RingModel, fit


def test_a_side_that_takes_half_the_time_is_twice_as_fast_for_sure() -> None:
    rounds = [np.array([1.0, 2.0, 3.0]) * mood for mood in (1, 5, 2)]
    ratio = speed_ratio([seconds / 2 for seconds in rounds], rounds)
    assert ratio.median == pytest.approx(2) and ratio.lower95 == pytest.approx(2)


def test_noise_lowers_the_bound_and_not_the_median() -> None:
    chance = np.random.default_rng(1)
    rounds = [np.ones(30) for _ in range(5)]
    noisy = [seconds * chance.lognormal(0, 0.05, 30) for seconds in rounds]
    ratio = speed_ratio(noisy, rounds)
    assert 0.9 < ratio.lower95 < ratio.median < 1.1


def test_the_model_of_a_ring_is_found_again_from_its_times() -> None:
    model = RingModel(latency=5e-5, bandwidth=1.5e9)
    found = fit({size: model.seconds(size, 2) for size in (1 << 16, 1 << 20, 1 << 26)}, 2)
    assert found.latency == pytest.approx(5e-5) and found.bandwidth == pytest.approx(1.5e9)


def test_more_ranks_cost_latency_and_less_than_twice_the_bytes() -> None:
    model = RingModel(latency=0.0, bandwidth=1e9)
    assert model.seconds(10**9, 2) == pytest.approx(1) and model.seconds(10**9, 512) < 2


def test_two_processes_exchange_bytes() -> None:
    assert exchange_seconds(1 << 16) > 0
