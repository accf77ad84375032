"""A month of hourly files through the pipeline itself: `python -m benchmarks.operations files`.

`month_of_files` writes a warm-up week and thirty days, and each night `mapring score` scores the day's files with a
real model, and alerts are looked for at the settings' defaults (but for `surges.minimum_rows`, which is 50: nights are
small). What stands in the log of alerts in the end is held against what was planted. Beside it stand a plain threshold
and a z-score on the same counts.

A surge is found by an alert in its hours; the delay is counted in windows up to the end of the one that it is found in,
so 1 is the least: with nightly runs that tells which window it was, not when somebody was told. Shares and deviations
(those of `benchmarks.operations.surges`) are measured on the scored rows: a surge of what people rate is a smaller one
of what a model of 78 % accuracy says. Labels of 40 % do not double, so by that benchmark's rule none of these has to be
found; all are told by size. An alert that is in no surge and not in a drift or the day after it is false. A finding of
drift is false unless it is in a planted drift or surge (which shifts labels) of its source or the day after one.
"""

from __future__ import annotations

import datetime
import itertools
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.operations.month_of_files import LABELS, VOLUMES, PlantedDrift, PlantedSurge, plant, write_days
from benchmarks.operations.pipeline import write_pipeline
from benchmarks.operations.surge_month import HOUR, HOURS, START, WARM_UP_DAYS, Month, Planted
from benchmarks.operations.surges import Alert, deviations, is_between, judge, threshold, z_score
from benchmarks.operations.surges import Judged as Side
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.scoring.ground import HOME, ground
from benchmarks.sentences import LOGS, ROOT, our_environment
from mapring.run_directory import RunDirectory
from mapring.settings import load_settings
from mapring.settings.alerts import Surges
from mapring.watch.counting import label_counts
from mapring.watch.drift import Judged
from mapring.watch.series import read_series
from mapring.watch.watched import look
from pipelines.alerting.records import read_log
from pipelines.alerts import make_alerting
from tests.pipelines.scheduling.world import FakeClock

SEED = 400
_HOME = HOME.parent / "operations" / "files"
_DAY = 24
_SETTLED = datetime.timedelta(minutes=30)  # after midnight, when the night's run begins
_SETTINGS = Surges(minimum_rows=50)


def file_figures() -> list[Figure]:
    """Surges and drifts of the month of files: found or not, how late, and false ones; all is printed."""
    surges, drifts = plant(SEED)
    config = _score_month(surges, drifts)
    settings = load_settings(config, [])
    watched = look(settings)
    assert watched is not None
    counts = label_counts(watched.counts)
    month = Month(counts, tuple(_measured(counts, surges)))
    log = read_log(RunDirectory(settings.run_dir).alerts)
    sent = [record for record in log if record.kind == "surge" and record.status == "alert"]
    ours = [Alert(str(one.source), one.quantity, _hour(one.window_end)) for one in sent]
    sides = {
        "mapring": ours,
        "threshold x2": threshold(month, _SETTINGS),
        "z > 3": z_score(3, _SETTINGS)(month),
        "z > 5": z_score(5, _SETTINGS)(month),
    }
    held_back = sum(record.status == "held back" for record in log)
    figures = _surge_figures(month, sides, drifts)
    sys.stdout.write(f"{len(log)} records in the log of alerts, {held_back} of them held back\n")
    return [*figures, *_drift_figures(watched.drift(START + (HOURS + 1) * HOUR).judged, surges, drifts)]


def _score_month(surges: Sequence[PlantedSurge], drifts: Sequence[PlantedDrift]) -> str:
    """Write, score and look for alerts night after night; the config."""
    place = ground()
    shutil.rmtree(_HOME, ignore_errors=True)
    (_HOME / "hours").mkdir(parents=True)
    shape = {"format": "csv", "id_column": "id", "time_column": "time"}
    inputs = [{"name": source, "path": str(_HOME / "hours" / source / "*.csv"), **shape} for source in VOLUMES]
    values: dict[str, Any] = {
        "score": {"inputs": inputs},
        "watch": {"window": "1h", "judged_windows": HOURS},
        "alerts": {"surges": {"minimum_rows": _SETTINGS.minimum_rows}},
    }
    config = write_pipeline(place, _HOME, "files", values)
    words = [str(Path(sys.executable).parent / "mapring"), "score", config]
    rows = pq.read_table(place.texts).to_pylist()
    texts = {label: [row["text"] for row in rows if row["label"] == label] for label in LABELS}
    for midnight in write_days(_HOME / "hours", texts, surges, drifts, SEED):
        run(words, log=LOGS / "files.log", cwd=ROOT, environment=our_environment())
        make_alerting(config, [], FakeClock(midnight + _SETTLED)).look()
    return config


def _measured(counts: Any, surges: Iterable[PlantedSurge]) -> Iterable[Planted]:
    """The surges with their shares as scored: within, and in the same hours of the days without a surge."""
    posts = next(one for one in read_series(counts) if one.source == "posts")
    shares = posts.counts / posts.rows[:, None]
    hours = np.arange(HOURS)
    calm = np.ones(HOURS, bool)
    for surge in surges:
        calm[surge.start : surge.start + surge.length] = False
    for surge in surges:
        own = slice(surge.start, surge.start + surge.length)
        label = posts.labels.index(surge.label)
        alike = calm & np.isin(hours % _DAY, hours[own] % _DAY)
        expected, surged = float(shares[alike, label].mean()), float(shares[own, label].mean())
        rows = float(posts.rows[own].mean())
        yield Planted("posts", surge.label, surge.start, surge.length, surge.factor, expected, surged, rows)


def _surge_figures(month: Month, sides: dict[str, list[Alert]], drifts: Sequence[PlantedDrift]) -> list[Figure]:
    excused = {hour for drift in drifts for hour in range(drift.start, drift.start + drift.length + _DAY)}
    counted = {
        name: [alert for alert in alerts if alert.source != "mail" or alert.hour - 1 not in excused]
        for name, alerts in sides.items()
    }
    judged = {name: judge(partial(_as_found, own), [month]) for name, own in counted.items()}
    sys.stdout.write(f"surges: windows until found by {', '.join(sides)}\n")
    for number, planted in enumerate(month.planted):
        late = " ".join(f"{_told(side.verdicts[number].delay):>5}" for side in judged.values())
        sys.stdout.write(
            f"    {planted.label} x{planted.factor:g} for {planted.length:2} h, {planted.expected:.2f} to"
            f" {planted.surged:.2f}, {deviations(planted):4.1f} deviations: {late}\n"
        )
    for low, high in itertools.pairwise((0, 2, 4, 1000)):
        of = partial(is_between, low, high)
        shares = ", ".join(f"{name} {side.recall(of):.2f}" for name, side in judged.items())
        count = sum(of(verdict) for verdict in judged["mapring"].verdicts)
        sys.stdout.write(f"of {count} by {low} to {high} deviations: {shares}\n")
    told = ", ".join(f"{name} {side.false[0]}" for name, side in judged.items())
    sys.stdout.write(f"false alerts: {told}\n")
    ours, peer = judged["mapring"], judged["z > 3"]
    delays = [verdict.delay for verdict in ours.verdicts if verdict.delay is not None]
    theirs = f"z-score above 3: {_found(peer):.2f}, {peer.false[0]} false"
    return [
        figure("files_surges_found", _found(ours), _found(peer), "share", peer=theirs),
        figure("files_surge_false_alerts", ours.false[0], 1, "alerts", better="lower", peer=theirs),
        figure(
            "files_surge_delay_windows",
            float(np.mean(delays)) if delays else float("inf"),
            2,
            "windows",
            better="lower",
        ),
    ]


def _drift_figures(
    judged: Iterable[Judged], surges: Sequence[PlantedSurge], drifts: Sequence[PlantedDrift]
) -> list[Figure]:
    hours: defaultdict[str, dict[int, list[Judged]]] = defaultdict(lambda: defaultdict(list))
    for one in judged:
        if one.is_drift:
            hours[one.source][_hour(one.window_start)].append(one)
    found = 0
    for drift in drifts:
        inside = [hour for hour in hours["mail"] if drift.start <= hour < drift.start + drift.length]
        own = [one for hour in inside for one in hours["mail"][hour]]
        strongest = max(own, key=lambda one: one.psi, default=None)
        what = "" if strongest is None else f", {strongest.quantity} with an index of {strongest.psi:.2f}"
        late = None if not inside else min(inside) - drift.start
        sys.stdout.write(
            f"drift {drift.change} of {drift.share:.0%} for {drift.length} h: {_told(late)} hours late{what}\n"
        )
        found += bool(inside)
    planted: dict[str, Sequence[PlantedSurge | PlantedDrift]] = {"posts": surges, "mail": drifts}
    false = 0
    for source, own_hours in hours.items():
        excused = {hour for one in planted[source] for hour in range(one.start, one.start + one.length + _DAY)}
        wrong = sorted(hour for hour in own_hours if hour not in excused and hour >= _DAY * WARM_UP_DAYS)
        for hour in wrong:
            sys.stdout.write(f"false: {source} hour {hour} {[one.quantity for one in own_hours[hour]]}\n")
        false += sum(second - first > 1 for first, second in itertools.pairwise([-2, *wrong]))
    return [
        figure("files_drift_recall", found / len(drifts), 0.95, "share"),
        figure("files_drift_false_alarms", false, 1, "alarms", better="lower"),
    ]


def _found(side: Side) -> float:
    return side.recall(lambda _verdict: True)


def _as_found(alerts: list[Alert], _month: Month) -> list[Alert]:
    return alerts


def _told(delay: int | None) -> str:
    return "-" if delay is None else str(delay)


def _hour(moment: datetime.datetime | None) -> int:
    assert moment is not None
    return round((moment - START) / HOUR)
