"""A made-up month of hourly counts with drifts planted into it: the truth that `benchmarks.operations.drift` knows.

Three sources (about 2,000, 400 and 60 rows an hour) have five quantities each: labels, scores, lengths, shares of
unknown tokens and languages. The hours of a day and the weekend differ in each, in log-odds by up to 0.35 and about
0.1, and beyond that every hour varies: by independent normal noise of 0.10 and by slow noise of 0.10 with a
correlation of 0.9 from one hour to the next. The reference has 2,000 rows of the month's mean. All is drawn anew with
each seed.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.watch.counting import COUNTS
from mapring.watch.reference import Reference

HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
WARM_UP_DAYS, DAYS = 7, 30  # before the first drift, for what learns from the past
HOURS = 24 * (WARM_UP_DAYS + DAYS)
MODEL = "0" * 16
SOURCES = {"large": 2000.0, "middle": 400.0, "small": 60.0}
QUANTITIES = {"label": 8, "score": 20, "input_tokens": 16, "unknown_share": 7, "language": 5}  # and their bins
SIZES = (0.1, 0.2, 0.4, 0.8, 1.6)  # of planted drifts, as population stability indices of the means
LENGTHS = (1, 2, 3, 5, 8)  # of planted drifts, in days
REFERENCE_ROWS = 2000
_NOISE, _SLOW, _ALIKE = 0.10, 0.10, 0.9

Floats = npt.NDArray[np.float64]


class Planted(NamedTuple):
    """A drift of one quantity of one source, from hour `start` on for `length` hours."""

    source: str
    quantity: str
    start: int
    length: int
    size: float


@dataclass(frozen=True)
class Month:
    """Counts as the scores give them, the reference of the model, and what was planted."""

    counts: pa.Table
    reference: Reference
    planted: tuple[Planted, ...]


def make_month(seed: int, *, with_drifts: bool = True) -> Month:
    """A warm-up week and thirty days, in which five of the fifteen series drift, one by each size."""
    random = np.random.default_rng(seed)
    keys = [(source, quantity) for source in SOURCES for quantity in QUANTITIES]
    means = {
        quantity: random.dirichlet(np.full(bins, 1.5)) * 0.98 + 0.02 / bins for quantity, bins in QUANTITIES.items()
    }
    planted = _plant(random, keys) if with_drifts else ()
    drifts = {(found.source, found.quantity): found for found in planted}
    rows = {source: _rows(random, volume) for source, volume in SOURCES.items()}
    tables = []
    for source, quantity in keys:
        log_odds = _log_odds(random, means[quantity])
        drift = drifts.get((source, quantity))
        if drift is not None:
            log_odds[drift.start : drift.start + drift.length] += _change(random, means[quantity], drift.size)
        shares = _softmax(log_odds)
        counted = np.stack([random.multinomial(rows[source][hour], shares[hour]) for hour in range(HOURS)])
        tables.append(_table(source, quantity, counted))
    tables += [_table(source, "row", found[:, None]) for source, found in rows.items()]
    expected = {
        name: {
            _bin(name, place): count for place, count in enumerate(random.multinomial(REFERENCE_ROWS, mean).tolist())
        }
        for name, mean in means.items()
    }
    reference = Reference(model=MODEL, split="test", rows=REFERENCE_ROWS, expected=expected, missing={})
    return Month(pa.concat_tables(tables), reference, planted)


def population_stability_index(p: Floats, q: Floats) -> float:
    """Of two distributions, without the rows that a histogram has."""
    return float(((q - p) * np.log(q / p)).sum())


def _plant(random: np.random.Generator, keys: list[tuple[str, str]]) -> tuple[Planted, ...]:
    chosen = random.permutation(len(keys))[: len(SIZES)]
    lengths = random.permutation(LENGTHS)
    found = []
    for place, size, days in zip(chosen, SIZES, lengths, strict=True):
        start = int(random.integers(24 * WARM_UP_DAYS, HOURS - 24 * days))
        source, quantity = keys[place]
        found.append(Planted(source, quantity, start, 24 * int(days), size))
    return tuple(found)


def _change(random: np.random.Generator, mean: Floats, size: float) -> Floats:
    """What is added to log-odds, in a random direction, so that the mean drifts by a size."""
    direction = random.normal(size=len(mean))
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        is_more = population_stability_index(mean, _softmax(np.log(mean) + middle * direction)) > size
        low, high = (low, middle) if is_more else (middle, high)
    return low * direction


def _log_odds(random: np.random.Generator, mean: Floats) -> Floats:
    """(hours, bins): level, seasons and noise, all of mean zero over a day or a month."""
    hours, bins = np.arange(HOURS)[:, None], len(mean)
    values = np.repeat(np.log(mean)[None, :], HOURS, axis=0)
    for wave, height in ((1, 0.35), (2, 0.15)):
        phase, size = random.uniform(0, 24, bins), random.uniform(0, height, bins)
        values += size * np.cos(2 * np.pi * wave * (hours - phase) / 24)
    values += (hours // 24 % 7 >= 5) * random.normal(0, 0.1, bins)
    values += random.normal(0, _NOISE, (HOURS, bins))
    slow = random.normal(0, _SLOW, bins)
    for hour in range(HOURS):
        values[hour] += slow
        slow = _ALIKE * slow + random.normal(0, _SLOW * np.sqrt(1 - _ALIKE**2), bins)
    return values


def _rows(random: np.random.Generator, volume: float) -> npt.NDArray[np.int64]:
    """Of each hour: a third of the day's by night, and none in one of 200 hours, when nothing was delivered."""
    day = 0.67 + 0.33 * np.cos(2 * np.pi * (np.arange(HOURS) - 15) / 24)
    rows = random.poisson(volume * day * random.lognormal(0, 0.2, HOURS))
    return np.where(random.random(HOURS) < 0.005, 0, rows).astype(np.int64)


def _softmax(log_odds: Floats) -> Floats:
    powers = np.exp(log_odds - log_odds.max(axis=-1, keepdims=True))
    found: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _bin(quantity: str, place: int) -> str:
    return "scored" if quantity == "row" else f"{quantity}{place}" if quantity in ("label", "language") else str(place)


def _table(source: str, quantity: str, counted: npt.NDArray[np.int64]) -> pa.Table:
    """COUNTS of (hours, bins); without empty cells, as the scores give them."""
    hours, places = np.nonzero(counted)
    starts = np.datetime64(START.replace(tzinfo=None), "us") + hours * np.timedelta64(1, "h")
    names = np.array([_bin(quantity, place) for place in range(counted.shape[1])])
    rows = len(hours)
    columns = {
        "source": pa.repeat(source, rows),
        "model_fingerprint": pa.repeat(MODEL, rows),
        "window_start": pa.array(starts).cast(pa.timestamp("us", "UTC")),
        "scored_at": pa.nulls(rows, pa.timestamp("us", "UTC")),
        "quantity": pa.repeat(quantity, rows),
        "bin": pa.array(names[places]),
        "rows": pa.array(counted[hours, places]),
    }
    return pa.table(columns).cast(COUNTS)
