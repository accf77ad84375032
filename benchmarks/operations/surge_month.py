"""A made-up month of hourly counts, with surges planted into it: the truth that `benchmarks.operations.surges` knows.

Three sources (about 4,000, 800 and 250 rows an hour by day, a third of it by night) and eight labels, with mean
shares from 30 % to 1.5 %. Log-odds go with two waves of the day and a weekend, each of its own height and phase for
each source and label. Beyond that they vary from hour to hour: independent normal noise of 0.10 and slow noise of 0.10
with a correlation of 0.9 from one hour to the next, so a share of 10 % of very many rows has a standard deviation of
1.3 points. That is not the beta-binomial that the detection assumes, and its seasons are not the detection's either:
they have peaks that three waves do not follow. All numbers are drawn anew with each seed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
WARM_UP_DAYS, DAYS = 7, 30
HOURS = 24 * (WARM_UP_DAYS + DAYS)
SOURCES = {"large": 4000.0, "middle": 800.0, "small": 250.0}
SHARES = np.array([0.30, 0.22, 0.16, 0.12, 0.09, 0.06, 0.035, 0.015])
FACTORS = (1.3, 1.6, 2.0, 3.0, 5.0)  # of a label's odds, about of its share where that is small
LENGTHS = (1, 2, 4, 8, 24)
_APART = 36  # hours from the end of a surge to the next one of the same source, at least
_NOISE, _SLOW, _ALIKE = 0.10, 0.10, 0.9


class Planted(NamedTuple):
    """A surge: `factor` on the odds of a label from hour `start` on, for `length` hours."""

    source: str
    label: str
    start: int
    length: int
    factor: float
    expected: float  # share without it, mean over its hours
    surged: float  # share with it
    rows: float  # of the source in an hour, mean


@dataclass(frozen=True)
class Month:
    """Counts as the scores give them, and what was planted."""

    table: pa.Table
    planted: tuple[Planted, ...]


def make_month(seed: int, *, with_surges: bool = True) -> Month:
    """A warm-up week and thirty days; surges begin after the week, in every source one to two a day and a half."""
    random = np.random.default_rng(seed)
    tables, planted = [], []
    for source, volume in SOURCES.items():
        log_odds = made_log_odds(random, SHARES)
        rows = made_rows(random, volume)
        found = _plant(random, source, log_odds, rows) if with_surges else []
        planted += found
        for surge in found:
            log_odds[surge.start : surge.start + surge.length, int(surge.label[1:])] += np.log(surge.factor)
        shares = softmax(log_odds)
        counts = np.stack([random.multinomial(rows[hour], shares[hour]) for hour in range(HOURS)])
        tables.append(count_table(source, [f"l{number}" for number in range(len(SHARES))], counts))
    return Month(pa.concat_tables(tables), tuple(planted))


def made_log_odds(random: np.random.Generator, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(hours, labels): level, seasons and noise about mean shares (labels,)."""
    hours = np.arange(HOURS)[:, None]
    labels = len(shares)
    values = np.log(shares)[None, :] + random.normal(0, 0.1, labels)
    for wave, height in ((1, 0.35), (2, 0.15)):
        phase, size = random.uniform(0, 24, labels), random.uniform(0, height, labels)
        values = values + size * np.cos(2 * np.pi * wave * (hours - phase) / 24)
    peak, size = random.integers(0, 24, labels), random.uniform(0, 0.25, labels)
    values = values + size * np.exp(-(((hours - peak + 12) % 24 - 12) ** 2) / 4)  # two hours wide
    is_weekend = ((START + hours[0, 0] * HOUR).weekday() + hours // 24) % 7 >= 5
    values = values + is_weekend * random.normal(0, 0.15, labels)
    values = values + random.normal(0, _NOISE, (HOURS, labels))
    slow = np.empty((HOURS, labels))
    slow[0] = random.normal(0, _SLOW, labels)
    for hour in range(1, HOURS):
        slow[hour] = _ALIKE * slow[hour - 1] + random.normal(0, _SLOW * np.sqrt(1 - _ALIKE**2), labels)
    result: npt.NDArray[np.float64] = values + slow
    return result


def made_rows(random: np.random.Generator, volume: float) -> npt.NDArray[np.int64]:
    """(hours,): rows of a source that has about so many by day, and a third of it by night."""
    hours = np.arange(HOURS)
    day = 0.67 + 0.33 * np.cos(2 * np.pi * (hours - 15) / 24)
    return random.poisson(volume * day * random.lognormal(0, 0.2, HOURS)).astype(np.int64)


def _plant(
    random: np.random.Generator, source: str, log_odds: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> list[Planted]:
    """Surges one after the other, of each factor and length as often as the others, on labels drawn at random."""
    kinds = [(factor, length) for factor in FACTORS for length in LENGTHS]
    found: list[Planted] = []
    hour = 24 * WARM_UP_DAYS + int(random.integers(0, 24))
    for number in random.permutation(len(kinds)):
        factor, length = kinds[number]
        if hour + length >= HOURS:
            break
        label = int(random.integers(0, len(SHARES)))
        part = log_odds[hour : hour + length].copy()
        expected = float(softmax(part)[:, label].mean())
        part[:, label] += np.log(factor)
        surged = float(softmax(part)[:, label].mean())
        mean_rows = float(rows[hour : hour + length].mean())
        found.append(Planted(source, f"l{label}", hour, length, factor, expected, surged, mean_rows))
        hour += length + _APART + int(random.integers(0, 12))
    return found


def softmax(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(hours, labels): shares."""
    powers = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def count_table(source: str, names: Sequence[str], counts: npt.NDArray[np.int64]) -> pa.Table:
    """Counts (hours, labels) as the scores give them."""
    hours, labels = counts.shape
    starts = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(hours) * np.timedelta64(1, "h")
    return pa.table(
        {
            "source": pa.array([source] * counts.size),
            "window_start": pa.array(np.repeat(starts, labels)).cast(pa.timestamp("us", "UTC")),
            "label": pa.array([*names] * hours),
            "model_fingerprint": pa.array(["0" * 16] * counts.size),
            "rows": pa.array(counts.reshape(-1)),
        }
    )
