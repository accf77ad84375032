"""Planted drifts found or not, how late, and false alarms: `python -m benchmarks.operations drift`.

Ten made-up months (`drift_month`) go through the real decision, `mapring.watch.drift`, at its default settings with
windows of an hour, and through what is usually done: a threshold on the population stability index, and a z-score of it
against the week before. A drift is found by an alarm while it lasts. Alarms that are neither within a drift nor in the
day after it, whose windows still hold it, are false; consecutive ones are one alarm.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.operations.drift_month import DAYS, HOUR, HOURS, MODEL, SIZES, START, WARM_UP_DAYS, Month, make_month
from benchmarks.results import Figure, figure
from mapring.settings.watch import Watch
from mapring.watch.drift import find_drift
from mapring.watch.quantities import compared_with, count_series

SEEDS = range(10)
Alarms = Mapping[tuple[str, str], set[int]]  # hours, by source and quantity
_THRESHOLD, _Z, _DAY = 0.2, 3.0, 24


class Verdict(NamedTuple):
    """Of one way to decide: hours until each drift was found by its size, None where it was not; and false alarms."""

    delays: dict[float, list[int | None]]
    false_alarms: int

    @property
    def recall(self) -> float:
        """The share of drifts that were found."""
        every = [delay for found in self.delays.values() for delay in found]
        return sum(delay is not None for delay in every) / len(every)


def our_alarms(month: Month) -> Alarms:
    """What mapring tells."""
    settings = Watch(window="1h", judged_windows=HOURS)
    judged = find_drift(month.counts, {MODEL: month.reference}, settings, START + (HOURS + 1) * HOUR).judged
    alarms: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for found in judged:
        if found.is_drift:
            alarms[found.source, found.quantity].add(int((found.window_start - START) / HOUR))
    return alarms


def index_alarms(month: Month, hours: int) -> Alarms:
    """Where the index of the last hours is above a threshold."""
    return {
        key: {int(hour) for hour in np.flatnonzero(index > _THRESHOLD)} for key, index in _indices(month, hours).items()
    }


def z_alarms(month: Month) -> Alarms:
    """Where the index of an hour is some standard deviations above its mean in the week before."""
    alarms: dict[tuple[str, str], set[int]] = {}
    for key, index in _indices(month, 1).items():
        before = np.lib.stride_tricks.sliding_window_view(index, 7 * _DAY)[:-1]
        z = (index[7 * _DAY :] - np.nanmean(before, axis=1)) / np.nanstd(before, axis=1)
        alarms[key] = {int(hour) + 7 * _DAY for hour in np.flatnonzero(z > _Z)}
    return alarms


def judge(months: list[Month], alarms: list[Alarms]) -> Verdict:
    """Hold alarms against what was planted; the warm-up does not count."""
    delays: dict[float, list[int | None]] = {size: [] for size in SIZES}
    false_alarms = 0
    for month, found in zip(months, alarms, strict=True):
        drifts = {(drift.source, drift.quantity): drift for drift in month.planted}
        for key, drift in drifts.items():
            end = drift.start + drift.length
            inside = [hour for hour in found.get(key, ()) if drift.start <= hour < end]
            delays[drift.size].append(min(inside) - drift.start if inside else None)
        for key, hours in found.items():
            own = drifts.get(key)
            excused = range(own.start, own.start + own.length + _DAY) if own else range(0)
            false = sorted(hour for hour in hours if hour not in excused and hour >= WARM_UP_DAYS * _DAY)
            false_alarms += sum(hour - 1 not in false for hour in false)
    return Verdict(delays, false_alarms)


def _indices(month: Month, hours: int) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
    """The index of each hour's last hours against the reference; NaN of hours without rows."""
    found = {}
    for series in count_series(month.counts):
        places = (
            (series.starts - np.datetime64(START.replace(tzinfo=None), "us").astype(int)) // 3_600_000_000
        ).tolist()
        for compared in compared_with(series, month.reference):
            counts = np.zeros((HOURS, len(compared.bins)), np.int64)
            counts[places] = compared.found
            sums = np.cumsum(np.concatenate([np.zeros((hours, len(compared.bins)), np.int64), counts]), axis=0)
            joined = sums[hours:] - sums[:-hours]
            rows = joined.sum(axis=1, keepdims=True)
            p = np.maximum(compared.expected, 0.5) / compared.expected.sum()
            q = np.maximum(joined, 0.5) / np.maximum(rows, 1)
            index = ((q - p) * np.log(q / p)).sum(axis=1)
            found[series.source, compared.name] = np.where(rows[:, 0] > 0, index, np.nan)
    return found


def drift_figures() -> list[Figure]:
    """Measure, and print how each way to decide did."""
    months = [make_month(seed) for seed in SEEDS]
    ours = judge(months, [our_alarms(month) for month in months])
    sides = {
        "mapring": ours,
        f"index of an hour above {_THRESHOLD}": judge(months, [index_alarms(month, 1) for month in months]),
        f"index of a day above {_THRESHOLD}": judge(months, [index_alarms(month, _DAY) for month in months]),
        f"z-score of an hour above {_Z:g}": judge(months, [z_alarms(month) for month in months]),
    }
    for name, side in sides.items():
        _tell(name, side, len(months))
    peer = f"population stability index of an hour above {_THRESHOLD}"
    per_month = ours.false_alarms / len(months)
    return [
        figure("drift_recall", ours.recall, 0.95, "share", peer=peer),
        figure("drift_false_alarms_per_month", per_month, 1, "alarms", better="lower", peer=peer),
    ]


def _tell(name: str, side: Verdict, months: int) -> None:
    sys.stdout.write(
        f"{name}: recall {side.recall:.2f}, {side.false_alarms / months:.1f} false alarms in a month of {DAYS} days\n"
    )
    for size, delays in side.delays.items():
        found = [delay for delay in delays if delay is not None]
        late = f"{np.median(found):.0f} h late (median)" if found else "none"
        sys.stdout.write(f"    index {size:g}: {len(found)} of {len(delays)} found, {late}\n")
