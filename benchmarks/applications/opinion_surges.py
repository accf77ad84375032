"""Are surges of negative texts found in single entities, how soon, and how many alerts are false.

Months as `opinion_month` makes them go through the detection with groups, beside a plain threshold and z-scores of each
entity and of the source. Which surges have to be found and what is a false alert are as in
`benchmarks.operations.surges`; the entity must be named. An alert of the whole source in the hours of an entity's surge
names nobody and is no false one.

In months in which all entities surge at once it is counted how many alerts come of one surge.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.applications.opinion_month import SOURCE, make_opinion_month
from benchmarks.operations.surge_month import Month
from benchmarks.operations.surges import Alert, Judged, alert_of, day_by_day, judge, threshold, z_score
from benchmarks.results import Figure, figure
from mapring.watch.series import read_series

SEEDS = tuple(range(400, 406))
GENERAL_SEEDS = tuple(range(410, 413))
Method = Callable[[Month], list[Alert]]


def opinion_figures() -> list[Figure]:
    """Recall, delay and false alerts of groups, and how many alerts a surge of all makes; other rules are printed."""
    months = [make_opinion_month(seed) for seed in SEEDS]
    general = [make_opinion_month(seed, is_general=True) for seed in GENERAL_SEEDS]
    sides: dict[str, Method] = {
        "mapring": grouped,
        "threshold x2": threshold,
        "z > 3": z_score(3),
        "z > 5": z_score(5),
    }
    judged = {name: judge(without_echoes(method), months) for name, method in sides.items()}
    floods = {name: alerts_of_a_general_surge(method, general) for name, method in sides.items()}
    for name, side in judged.items():
        sys.stdout.write(_line(name, side, floods[name]))
    ours, peer = judged["mapring"], judged["z > 3"]
    return [
        figure(
            "opinion_surge_recall",
            ours.recall(lambda one: one.counts),
            0.95,
            "share",
            peer=f"z-score above 3: {peer.recall(lambda one: one.counts):.3f}",
        ),
        figure(
            "opinion_false_alerts_per_month",
            float(np.mean(ours.false)),
            1,
            "alerts",
            better="lower",
            peer=f"z-score above 3: {np.mean(peer.false):.1f}",
        ),
        figure("opinion_surge_delay_windows", float(np.mean(ours.delays)), 2, "windows", better="lower"),
        figure(
            "opinion_alerts_per_general_surge",
            floods["mapring"],
            2,
            "alerts",
            better="lower",
            peer=f"z-score above 3: {floods['z > 3']:.1f}",
        ),
    ]


def grouped(month: Month) -> list[Alert]:
    """The detection with entities as groups; an alert is of the entity, or of the source."""
    series = [
        one if one.source == SOURCE else replace(one, source=SOURCE, group=one.source)
        for one in read_series(month.table)
    ]
    return [alert_of(surge.finding.group or SOURCE, surge) for surge in day_by_day(series)]


def without_echoes(method: Method) -> Method:
    """A method without alerts of the whole source in the hours of an entity's surge."""

    def rest(month: Month) -> list[Alert]:
        return [alert for alert in method(month) if alert.source != SOURCE or not _is_in_a_surge(alert, month)]

    return rest


def alerts_of_a_general_surge(method: Method, months: list[Month]) -> float:
    """How many alerts come in the hours of a surge of all entities that is found, in the mean."""
    numbers = []
    for month in months:
        alerts = method(month)
        for planted in month.planted:
            hours = range(planted.start + 1, planted.start + planted.length + 1)
            numbers.append(sum(alert.label == planted.label and alert.hour in hours for alert in alerts))
    found = [number for number in numbers if number]
    return float(np.mean(found)) if found else 0.0


def _is_in_a_surge(alert: Alert, month: Month) -> bool:
    return any(
        alert.label == planted.label and planted.start < alert.hour <= planted.start + planted.length
        for planted in month.planted
    )


def _line(name: str, side: Judged, flood: float) -> str:
    needed = [verdict for verdict in side.verdicts if verdict.counts]
    found = side.recall(lambda one: one.counts)
    between = side.recall(lambda one: not one.counts and one.deviations >= 2)
    return (
        f"{name:>14}: found {found:.3f} of {len(needed)} that have to be, {between:.3f} of smaller ones; "
        f"{np.mean(side.false):.2f} false alerts a month {side.false}; "
        f"delay {np.mean(side.delays or [0]):.2f} windows; {flood:.1f} alerts of a general surge\n"
    )
