"""What the report tells of watching: drifts, alerts, and how quantities and labels went over time. Values and plots."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mapring.plan import Plan
from mapring.watch.counting import LABEL
from mapring.watch.drift import DriftLook, Episode, Judged, episodes
from mapring.watch.quantities import EPOCH, CountSeries, count_series
from mapring.watch.watched import Watched, look
from pipelines import plots
from pipelines.alerting.records import Record, read_log
from pipelines.watch import notes

_MOST_SOURCES = 4  # those with the most rows
_MOST_LABELS = 3  # in one chart, which has so many colours
_MOST_EPISODES = 30
_MOST_SURGES = 4  # with a chart, the newest
_DAY = 86_400_000_000.0  # microseconds


@dataclass(frozen=True)
class Chart:
    """A plot, and what stands above it."""

    caption: str
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class WatchPage:
    """The watch section: drifts and alerts, the newest first, what was not judged, and charts."""

    version: int
    window: str
    judged: int
    episodes: Sequence[Episode]
    more: int
    alerts: Sequence[Record]
    older_alerts: int
    notes: Sequence[str]
    drifts: Sequence[Chart]
    shares: Sequence[Chart]
    surges: Sequence[Chart]


def gather_watch(plan: Plan, now: datetime.datetime) -> WatchPage | None:
    """Watch the scores of a plan; None where there are none."""
    watched = look(plan.settings) if plan.settings.score is not None else None
    return None if watched is None else make_page(watched, watched.drift(now), read_log(plan.run.alerts))


def make_page(watched: Watched, found: DriftLook, log: Sequence[Record] = ()) -> WatchPage:
    """The section of a table that was watched, with the log of its alerts."""
    told, alerts = episodes(found.judged)[::-1], log[::-1]
    all_series = sorted(count_series(watched.counts), key=lambda one: -one.scored)
    series = all_series[:_MOST_SOURCES]
    surges = [one for one in alerts if one.kind == "surge"][:_MOST_SURGES]
    return WatchPage(
        version=watched.table.version,
        window=watched.settings.watch.window,
        judged=len(found.judged),
        episodes=told[:_MOST_EPISODES],
        more=max(0, len(told) - _MOST_EPISODES),
        alerts=alerts[:_MOST_EPISODES],
        older_alerts=max(0, len(alerts) - _MOST_EPISODES),
        notes=notes(found),
        drifts=list(_drift_charts(found.judged, series, watched.settings.watch.tolerated_drift)),
        shares=[chart for one in series if (chart := _share_chart(one)) is not None],
        surges=[chart for one in surges if (chart := _surge_chart(one, all_series)) is not None],
    )


def _drift_charts(judged: Sequence[Judged], series: Sequence[CountSeries], tolerated: float) -> Iterable[Chart]:
    """The index over time, of each quantity of the sources with the most rows."""
    shown = {(one.source, one.model, one.has_time) for one in series}
    lines: defaultdict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for one in judged:
        if (one.source, one.model_fingerprint, one.window_end is not None) in shown:
            micros = (one.window_start - EPOCH) / datetime.timedelta(microseconds=1)
            lines[one.source, one.model_fingerprint, one.quantity].append((micros, one.psi))
    for (source, model, quantity), points in lines.items():
        end = points[-1][0]
        own = [((micros - end) / _DAY, value) for micros, value in points]
        limit = plots.Line("tolerated", [(own[0][0], tolerated), (own[-1][0], tolerated)], faint=True)
        caption = f"{source}: {quantity}, model {model[:8]}"
        yield _chart(caption, [plots.Line(quantity, own), limit], end, "index (PSI)")


def _share_chart(series: CountSeries) -> Chart | None:
    """Shares of the labels that most rows have, by window."""
    bins, rows = series.counts.get(LABEL, ((), np.zeros((0, 0), np.int64)))
    total = rows.sum(axis=1)
    order = [place for place in np.argsort(-rows.sum(axis=0), kind="stable") if bins[place] is not None][:_MOST_LABELS]
    if not order:
        return None
    days = (series.starts - series.starts[-1]) / _DAY
    lines = [
        plots.Line(str(bins[place]), list(zip(days.tolist(), (rows[:, place] / total).tolist(), strict=True)))
        for place in order
    ]
    names = ", ".join(line.name for line in lines)
    caption = f"{series.source}: {names}, model {series.model[:8]}"
    return _chart(caption, lines, float(series.starts[-1]), "share of rows")


def _surge_chart(surge: Record, series: Sequence[CountSeries]) -> Chart | None:
    """The share of a label that surged, by window, and where it did; None where the table has no such rows any more."""
    of_source = [one for one in series if (one.source, one.model) == (surge.source, surge.model_fingerprint)]
    for one in of_source:
        bins, rows = one.counts.get(LABEL, ((), np.zeros((0, 0), np.int64)))
        if surge.quantity not in bins or surge.window_start is None or surge.window_end is None:
            continue
        shares = rows[:, bins.index(surge.quantity)] / rows.sum(axis=1)
        start, end = (
            (at - EPOCH) / datetime.timedelta(microseconds=1) for at in (surge.window_start, surge.window_end)
        )
        days, inside = (one.starts - one.starts[-1]) / _DAY, (one.starts >= start) & (one.starts < end)
        lines = [
            plots.Line(str(surge.quantity), list(zip(days.tolist(), shares.tolist(), strict=True))),
            plots.Line("surge", list(zip(days[inside].tolist(), shares[inside].tolist(), strict=True))),
        ]
        caption = f"{one.source}: {surge.quantity}, surge from {surge.window_start:%Y-%m-%d %H:%M}"
        return _chart(caption, lines, float(one.starts[-1]), "share of rows")
    return None


def _chart(caption: str, lines: Sequence[plots.Line], end: float, y_label: str) -> Chart:
    """Lines over days before a moment, in microseconds."""
    newest = (EPOCH + datetime.timedelta(microseconds=end)).strftime("%Y-%m-%d %H:%M UTC")
    svg = plots.line_chart(lines, title=caption, x_label=f"days before {newest}", y_label=y_label)
    return Chart(caption, Markup(svg))  # whose text is escaped
