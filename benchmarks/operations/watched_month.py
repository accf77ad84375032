"""A made-up month of three sources of customers' messages, with drifts and surges planted, and watched.

The counts are those of `drift_month`, under names that people read; onto them surges of labels are planted. Drift and
alerts are found by the real decisions, alerts as `mapring alerts` finds them where it is run every five days.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.operations.drift_month import HOUR, HOURS, MODEL, START, WARM_UP_DAYS, make_month
from mapring.scores.table import ScoresTable
from mapring.settings import Settings
from mapring.settings.alerts import Alerts
from mapring.watch.counting import COUNTS, LABEL, ROW, label_counts
from mapring.watch.drift import DriftLook
from mapring.watch.findings import Finding
from mapring.watch.series import newest_ended
from mapring.watch.watched import Watched
from pipelines.alerting.alerting import Alerting
from pipelines.alerting.evidence import Evidence
from pipelines.alerting.records import Record, read_log
from tests.pipelines.scheduling.world import FakeClock

SOURCES = {"large": "app reviews", "middle": "mail", "small": "chat"}
LABELS = ("delivery", "returns", "billing", "praise", "account", "app", "spam", "other")
_EVERY = 5  # days, between two looks for alerts
LANGUAGES = ("de", "en", "es", "fr", "it")


class Surge(NamedTuple):
    """Rows of a label `factor` times as many, from `hour` on for `length` hours; its bin is that of `drift_month`."""

    source: str
    bin: str
    hour: int
    length: int
    factor: float


SURGES = (
    Surge("middle", "label2", 24 * 18 + 9, 7, 4.0),
    Surge("large", "label5", 24 * 25 + 14, 5, 3.0),
    Surge("large", "label6", 24 * 31 + 10, 6, 4.0),
)


class Month(NamedTuple):
    """What is watched, what has drifted at the end, and the log of alerts."""

    watched: Watched
    found: DriftLook
    log: list[Record]


def watched_month(settings: Settings, folder: Path, seed: int = 3) -> Month:
    """Make the month and watch it.

    Args:
        settings: of a pipeline, whose windows are an hour, and of which `watch.judged_windows` are judged.
        folder: the log of alerts is written below.
        seed: of the month.
    """
    month = make_month(seed)
    counts = _named(_with_surges(month.counts))
    expected = {
        name: {_name(bin_): rows for bin_, rows in own.items()} for name, own in month.reference.expected.items()
    }
    table = ScoresTable(uri=str(folder), version=HOURS - 1, columns=(), files=())
    references = {MODEL: replace(month.reference, expected=expected)}
    watched = Watched(settings=settings, table=table, counts=counts, references=references)
    found = watched.drift(START + HOURS * HOUR)
    drifts = found.findings(settings.watch.tolerated_drift)  # what was found of a window hangs on no later one
    clock, root = FakeClock(START), str(folder / "alerts")
    alerting = Alerting(
        pipeline=settings.name,
        root=root,
        settings=settings.alerts or Alerts(),
        length=HOUR,
        clock=clock,
        gather=lambda: _evidence(watched, drifts, clock.now()),
    )
    for hour in (*range(24 * (WARM_UP_DAYS + _EVERY), HOURS, 24 * _EVERY), HOURS):
        clock.time = START + hour * HOUR + HOUR / 4
        alerting.look()
    return Month(watched, found, read_log(root))


def _evidence(watched: Watched, drifts: Sequence[Finding], now: datetime.datetime) -> Evidence:
    """What is known at a moment."""
    known = watched.counts.filter(pc.less(watched.counts["window_start"], pa.scalar(now)))
    ended = [drift for drift in drifts if drift.window_end is not None and drift.window_end <= now]
    return Evidence(counts=label_counts(known), newest=newest_ended(known, HOUR, now), drifts=tuple(ended))


def _with_surges(counts: pa.Table) -> pa.Table:
    """More rows of the labels that surge; the windows' sums have them, too."""
    rows = counts.to_pylist()
    for surge in SURGES:
        hours = range(surge.hour, surge.hour + surge.length)
        added: dict[datetime.datetime, int] = {}
        for row in rows:
            is_label = (row["source"], row["quantity"], row["bin"]) == (surge.source, LABEL, surge.bin)
            if is_label and (row["window_start"] - START) // HOUR in hours:
                added[row["window_start"]] = round(row["rows"] * (surge.factor - 1))
                row["rows"] += added[row["window_start"]]
        for row in rows:
            if (row["source"], row["quantity"]) == (surge.source, ROW):
                row["rows"] += added.get(row["window_start"], 0)
    return pa.Table.from_pylist(rows, schema=COUNTS)


def _named(counts: pa.Table) -> pa.Table:
    columns: tuple[tuple[str, Callable[[str], str]], ...] = (("source", SOURCES.__getitem__), ("bin", _name))
    for column, named in columns:
        place = counts.schema.get_field_index(column)
        values = [named(value) for value in counts.column(column).to_pylist()]
        counts = counts.set_column(place, counts.schema.field(place), pa.array(values, counts.schema.field(place).type))
    return counts


def _name(bin_: str) -> str:
    """A bin of a label or a language by its name, others as they are."""
    for start, names in (("label", LABELS), ("language", LANGUAGES)):
        if bin_.startswith(start):
            return names[int(bin_.removeprefix(start))]
    return bin_
