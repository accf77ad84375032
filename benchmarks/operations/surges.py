"""Are surges found, how soon, and how many alerts are false: `python -m benchmarks.operations surges`.

Months as `surge_month` makes them go through the detection as they grow. Beside it stand what is mostly used: a plain
threshold (twice the mean share of the days before) and a z-score (more than 3, and more than 5, standard deviations of
the shares of the days before above their mean), with the same minimum volume and cooldown.

A planted surge counts in `surge_recall` if its share is, in the mean of its hours, at least twice the expected one and
six standard deviations above it: those of the share of one hour's rows, noise from hour to hour included (0.14 in
log-odds), and if it has the volume that the settings ask for. Smaller ones are printed by size. It is found by an
alert of its source and label in its hours; the delay is counted in windows up to the end of the one that it is found
in, so 1 is the least. Any other alert is a false one.

Defaults of the settings were chosen on the seeds 0 to 5, 100 to 107 and 200 to 207; the seeds here are others.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.operations.surge_month import (
    DAYS,
    FACTORS,
    HOUR,
    HOURS,
    LENGTHS,
    START,
    WARM_UP_DAYS,
    Month,
    Planted,
    make_month,
)
from benchmarks.results import Figure, figure
from mapring.settings.alerts import Surges
from mapring.watch.extent import Extent
from mapring.watch.series import Series, read_series
from mapring.watch.surges import Surge, find_surges

Floats = npt.NDArray[np.float64]

SEEDS = tuple(range(300, 308))
LEAST_DEVIATIONS, LEAST_RATIO = 6.0, 2.0
_NOISE = 0.02  # variance of the log-odds from hour to hour
_SETTINGS = Surges()
_NAME = "operations"


class Alert(NamedTuple):
    """An alert: of which label, known after which hour."""

    source: str
    label: str
    hour: int


class Verdict(NamedTuple):
    """What became of a planted surge; `delay` is None where it was not found."""

    planted: Planted
    deviations: float
    delay: int | None

    @property
    def counts(self) -> bool:
        """Whether it is large enough to have to be found."""
        planted = self.planted
        has_volume = planted.rows >= _SETTINGS.minimum_rows
        has_label_volume = planted.rows * planted.surged >= _SETTINGS.minimum_label_rows
        is_large = self.deviations >= LEAST_DEVIATIONS and planted.surged >= LEAST_RATIO * planted.expected
        return is_large and has_volume and has_label_volume


class Judged(NamedTuple):
    """A method on all months; `false` is that of each month."""

    verdicts: list[Verdict]
    false: list[int]

    def recall(self, of: Callable[[Verdict], bool]) -> float:
        """Share of the surges that are found."""
        found = [verdict.delay is not None for verdict in self.verdicts if of(verdict)]
        return float(np.mean(found)) if found else float("nan")

    @property
    def delays(self) -> list[int]:
        """Of those that have to be found and are."""
        return [verdict.delay for verdict in self.verdicts if verdict.counts and verdict.delay is not None]


def ours(month: Month) -> list[Alert]:
    """The detection."""
    return [alert_of(surge.finding.source, surge) for surge in day_by_day(read_series(month.table))]


def day_by_day(series: Sequence[Series]) -> list[Surge]:
    """What the detection finds with a history that grows day by day.

    Within a day no window is judged by a later one, and hour by hour the same is found, which a test holds
    (`test_hour_by_hour_the_same_is_found_as_all_at_once`); only fits are made once for each day.
    """
    found: list[Surge] = []
    known: tuple[Extent, ...] = ()
    for day in range(WARM_UP_DAYS, WARM_UP_DAYS + DAYS):
        seen = [_until(one, 24 * (day + 1)) for one in series]
        windows = dict.fromkeys((one.source for one in seen), seen[0].starts[24 * day :])
        alerts = [surge.finding.window_end - HOUR for surge in found if surge.finding.window_end is not None]
        step = find_surges(seen, windows, _SETTINGS, HOUR, known=known, alerts=alerts)
        known = step.extents
        found += step.surges
    return found


def alert_of(name: str | None, surge: Surge) -> Alert:
    """A surge as an alert of `name`."""
    assert surge.finding.window_end is not None and name is not None
    return Alert(name, surge.finding.quantity, round((surge.finding.window_end - START) / HOUR))


def threshold(month: Month, settings: Surges = _SETTINGS) -> list[Alert]:
    """Shares of more than twice their mean in the days before."""
    return _simple(month, settings, lambda share, before: share > 2 * before.mean(axis=0))


def z_score(limit: float, settings: Surges = _SETTINGS) -> Callable[[Month], list[Alert]]:
    """Shares of more than so many standard deviations above their mean in the days before."""
    return lambda month: _simple(
        month, settings, lambda share, before: share > before.mean(axis=0) + limit * before.std(axis=0)
    )


def judge(method: Callable[[Month], list[Alert]], months: Iterable[Month]) -> Judged:
    """Hold the alerts of a method against what was planted."""
    verdicts: list[Verdict] = []
    false: list[int] = []
    for month in months:
        alerts = method(month)
        true: set[Alert] = set()
        for planted in month.planted:
            hours = range(planted.start + 1, planted.start + planted.length + 1)
            own = [
                alert
                for alert in alerts
                if (alert.source, alert.label) == (planted.source, planted.label) and alert.hour in hours
            ]
            true |= set(own)
            delay = min(alert.hour for alert in own) - planted.start if own else None
            verdicts.append(Verdict(planted, deviations(planted), delay))
        false.append(len(alerts) - len(true))
    return Judged(verdicts, false)


def surge_figures() -> list[Figure]:
    """How many surges are found, how soon, and how many alerts a month are false; the others are printed."""
    months = [make_month(seed) for seed in SEEDS]
    sides = {"mapring": ours, "threshold x2": threshold, "z > 3": z_score(3), "z > 5": z_score(5)}
    judged = {name: judge(method, months) for name, method in sides.items()}
    calm = judge(ours, [make_month(seed, with_surges=False) for seed in SEEDS])
    _print(judged, calm)
    found, peer = judged["mapring"], judged["z > 3"]
    told = f"z-score above 3: {peer.recall(lambda one: one.counts):.3f}"
    told_false = f"z-score above 3: {np.mean(peer.false):.1f}"
    false, delay = float(np.mean(found.false)), float(np.mean(found.delays))
    return [
        figure("surge_recall", found.recall(lambda one: one.counts), 0.95, "share", peer=told),
        figure("surge_false_alerts_per_month", false, 1, "alerts", better="lower", peer=told_false),
        figure("surge_delay_windows", delay, 2, "windows", better="lower"),
    ]


def _print(judged: dict[str, Judged], calm: Judged) -> None:
    first = next(iter(judged.values()))
    sys.stdout.write(f"{len(first.verdicts)} surges in {len(first.false)} months\n")
    classes: list[tuple[str, Callable[[Verdict], bool]]] = [("all that count", lambda one: one.counts)]
    classes += [(f"odds x{factor:g}", partial(_has_factor, factor)) for factor in FACTORS]
    classes += [(f"{hours} h", partial(_has_length, hours)) for hours in LENGTHS]
    edges = (0, 2, 4, 6, 8, 1000)
    classes += [
        (f"{low} to {high} deviations", partial(is_between, low, high)) for low, high in itertools.pairwise(edges)
    ]
    sys.stdout.write(f"{'found':>22} {'surges':>7} " + " ".join(f"{name:>12}" for name in judged) + "\n")
    for title, of in classes:
        count = sum(of(verdict) for verdict in first.verdicts)
        shares = " ".join(f"{side.recall(of):12.3f}" for side in judged.values())
        sys.stdout.write(f"{title:>22} {count:7} {shares}\n")
    for name, side in judged.items():
        delays = side.delays or [0]
        told = f"delay {np.mean(delays):.2f} windows in the mean, {np.percentile(delays, 95):.0f} in 95 %"
        sys.stdout.write(f"{name}: {np.mean(side.false):.2f} false alerts a month {side.false}, {told}\n")
    sys.stdout.write(f"mapring, months without surges: {np.mean(calm.false):.2f} false alerts a month {calm.false}\n")


def _has_factor(factor: float, verdict: Verdict) -> bool:
    return verdict.planted.factor == factor


def _has_length(hours: int, verdict: Verdict) -> bool:
    return verdict.planted.length == hours


def is_between(low: float, high: float, verdict: Verdict) -> bool:
    """Whether a surge lifts the share by so many deviations, the upper bound excluded."""
    return low <= verdict.deviations < high


def _simple(month: Month, settings: Surges, is_alert: Callable[[Floats, Floats], npt.NDArray[np.bool_]]) -> list[Alert]:
    """A rule on shares, with the minimum volume and the cooldown of the detection."""
    found: list[Alert] = []
    for series in read_series(month.table):
        shares = series.counts / series.rows[:, None]
        lasts = dict.fromkeys(range(len(series.labels)), -1000)
        for hour in range(24 * WARM_UP_DAYS, HOURS):
            if series.rows[hour] < settings.minimum_rows:
                continue
            is_enough = series.counts[hour] >= settings.minimum_label_rows
            for label in np.flatnonzero(is_alert(shares[hour], shares[: hour // 24 * 24]) & is_enough):
                if hour - lasts[int(label)] > settings.cooldown_hours:
                    found.append(Alert(series.source, series.labels[label], hour + 1))
                lasts[int(label)] = hour
    return found


def deviations(planted: Planted) -> float:
    """How far a surge lifts a share, in standard deviations of the share of an hour's rows, noise included."""
    share = planted.expected
    variance = share * (1 - share) / planted.rows + (share * (1 - share)) ** 2 * _NOISE
    return float((planted.surged - share) / np.sqrt(variance))


def _until(series: Series, windows: int) -> Series:
    part = slice(0, windows)
    return replace(
        series,
        starts=series.starts[part],
        counts=series.counts[part],
        rows=series.rows[part],
        models=series.models[part],
        is_mixed=series.is_mixed[part],
    )
