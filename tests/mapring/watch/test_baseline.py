"""Baselines: seasons are found, surges do not lift them, and they say how much a share varies."""

from __future__ import annotations

import numpy as np
import pytest

from mapring.watch.baseline import Baseline, fit

HOURS = 24 * 28
TIMES = np.datetime64("2026-03-02", "us") + np.arange(HOURS) * np.timedelta64(1, "h")
NOISE = 0.08


def true_share(hours: np.ndarray) -> np.ndarray:
    is_weekend = hours // 24 % 7 >= 5
    log_odds = -2.2 + 0.4 * np.sin(2 * np.pi * hours / 24) + 0.4 * is_weekend
    return 1 / (1 + np.exp(-log_odds))


def made(seed: int, hours: int = HOURS, rows: int = 2000, surged: slice = slice(0, 0)) -> Baseline:
    random = np.random.default_rng(seed)
    share = true_share(np.arange(hours))
    noisy = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + random.normal(0, NOISE, hours))))
    noisy[surged] = np.minimum(0.95, noisy[surged] * 4)
    total = np.full(hours, rows)
    counts = random.binomial(total, noisy)[:, None]
    return fit(TIMES[:hours], counts, total, half_life_days=14, window_days=1 / 24)


def day_after(baseline: Baseline, rows: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hours = np.arange(HOURS, HOURS + 24 * 7)
    times = TIMES[0] + hours * np.timedelta64(1, "h")
    found = [baseline.expected(times[place : place + 1], np.array([rows])) for place in range(len(hours))]
    return np.array([share[0] for share, _ in found]), np.array([spread[0] for _, spread in found]), true_share(hours)


def test_hours_and_days_of_week_are_found() -> None:
    found, _, true = day_after(made(1))
    assert np.abs(found / true - 1).max() < 0.08
    assert true.max() / true.min() > 2


def test_the_spread_is_that_of_the_noise() -> None:
    for seed in range(3):
        _, spread, true = day_after(made(seed))
        expected = NOISE**2 * true * (1 - true)
        assert 0.7 < np.median(spread / expected) < 1.8, "noise of 0.08 in log-odds"


@pytest.mark.parametrize("surged", [slice(600, 610), slice(560, 660), slice(672 - 70, 672)])
def test_an_earlier_surge_hardly_lifts_the_baseline(surged: slice) -> None:
    calm, spread, _ = day_after(made(2))
    found, wider, _ = day_after(made(2, surged=surged))
    assert np.median(found / calm) < 1.05 and np.median(wider / spread) < 2


def test_a_lasting_change_becomes_the_level() -> None:
    calm, _, _ = day_after(made(3))
    found, _, _ = day_after(made(3, surged=slice(24 * 10, HOURS)))
    assert np.median(found / calm) > 2.5


def test_a_window_of_a_billion_rows_does_not_outweigh_the_others() -> None:
    random = np.random.default_rng(4)
    total = np.full(HOURS, 2000)
    total[300] = 1_000_000_000
    counts = random.binomial(total, true_share(np.arange(HOURS)))
    counts[300] = 900_000_000
    found, _, true = day_after(fit(TIMES, counts[:, None], total, half_life_days=14, window_days=1 / 24))
    assert np.abs(found / true - 1).max() < 0.08


def test_a_label_that_was_never_seen_is_expected_to_be_rare() -> None:
    total = np.full(HOURS, 500)
    counts = np.zeros((HOURS, 1), np.int64)
    share, _ = fit(TIMES, counts, total, half_life_days=14, window_days=1 / 24).expected(TIMES[:1], total[:1])
    assert 0 < share[0] < 1e-3


@pytest.mark.parametrize(("days", "window"), [(30, 1.0), (200, 7.0), (10, 0.25)])
def test_windows_of_any_length_have_a_baseline(days: int, window: float) -> None:
    count = int(days / window)
    times = TIMES[0] + np.arange(count) * np.timedelta64(round(window * 86_400), "s")
    random = np.random.default_rng(6)
    counts = random.binomial(1000, 0.2, (count, 1))
    share, _ = fit(times, counts, np.full(count, 1000), half_life_days=14, window_days=window).expected(
        times[-1:], np.array([1000])
    )
    assert share[0] == pytest.approx(0.2, abs=0.02)
