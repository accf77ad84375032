"""What the report tells of watching: drifts, alerts, and how quantities and labels went over time. Values and plots."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from mapring.plan import Plan
from mapring.watch.counting import COUNTS, LABEL, ROW, SCORED, WITHHELD
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
_SPANS = {"surge": "surge", "drift": "drift", "held": "held back"}  # kinds of spans, as the legend has them
_HALF_DAY = 43_200_000_000.0  # microseconds
_MOST_LANES = 8  # of the time line
_PART = ", "  # between a source and its group


@dataclass(frozen=True)
class Chart:
    """A plot, what stands above it, and the class and name of each line."""

    caption: str
    svg: Markup
    legend: Sequence[tuple[str, str]] = ()


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
    time_line: Chart | None
    volumes: Chart | None
    drifts: Sequence[Chart]
    shares: Sequence[Chart]
    surges: Sequence[Chart]
    groups: Sequence[Chart]


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
    groups = watched.groups()
    largest, of_groups = ([], []) if groups is None else _group_series(groups, surges)
    return WatchPage(
        version=watched.table.version,
        window=watched.settings.watch.window,
        judged=len(found.judged),
        episodes=told[:_MOST_EPISODES],
        more=max(0, len(told) - _MOST_EPISODES),
        alerts=alerts[:_MOST_EPISODES],
        older_alerts=max(0, len(alerts) - _MOST_EPISODES),
        notes=notes(found),
        time_line=_time_line(told, alerts, all_series),
        volumes=_volume_chart(series),
        drifts=list(_drift_charts(found.judged, series, watched.settings.watch.tolerated_drift)),
        shares=[chart for one in series if (chart := _share_chart(one)) is not None],
        surges=[chart for one in surges if (chart := _surge_chart(one, [*all_series, *of_groups])) is not None],
        groups=[chart for one in largest if (chart := _share_chart(one)) is not None],
    )


def _drift_charts(judged: Sequence[Judged], series: Sequence[CountSeries], tolerated: float) -> Iterable[Chart]:
    """The index over time, of each quantity of the sources with the most rows."""
    shown = {(one.source, one.model, one.has_time) for one in series}
    lines: defaultdict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for one in judged:
        if (one.source, one.model_fingerprint, one.window_end is not None) in shown:
            lines[one.source, one.model_fingerprint, one.quantity].append((_micros(one.window_start), one.psi))
    for (source, model, quantity), own in lines.items():
        aside = 0.0 if len(own) > 1 else _HALF_DAY  # so that one judgment has something to be held against
        limit = plots.Line("tolerated", [(own[0][0] - aside, tolerated), (own[-1][0] + aside, tolerated)], faint=True)
        caption = f"{source}: {quantity}, model {model[:8]}"
        yield _chart(caption, [limit, plots.Line(quantity, own)], "index (PSI)")


def _time_line(episodes: Sequence[Episode], alerts: Sequence[Record], series: Sequence[CountSeries]) -> Chart | None:
    """Surges, drifts and what was held back, by source and quantity, over all windows; None where there are none."""
    spans: defaultdict[str, list[plots.Span]] = defaultdict(list)
    for one in alerts:
        if one.kind != "surge" or one.window_start is None or one.window_end is None:
            continue  # a drift is drawn as long as it was judged to last
        held = one.status != "alert"
        hint = f"surge of {one.quantity}, {_when(one.window_start, one.window_end)}, {one.observed:.1%} of rows"
        hint += f", held back: {one.reason}" if held else ""
        start, end = _micros(one.window_start), _micros(one.window_end)
        spans[f"{_name(one.source, one.group)}: {one.quantity}"].append(
            plots.Span(start, end, "held" if held else "surge", hint)
        )
    for episode in episodes:
        first, last, worst = episode.judged[0], episode.judged[-1], episode.strongest
        until = last.window_end or last.window_start
        hint = f"drift of {first.quantity}, {_when(first.window_start, until)}, index {worst.psi:.3f}"
        span = plots.Span(_micros(first.window_start), _micros(until), "drift", hint)
        spans[f"{first.source}: {first.quantity}"].append(span)
    if not spans:
        return None
    newest = sorted(spans.items(), key=lambda item: -max(span.end for span in item[1]))[:_MOST_LANES]
    lanes = [plots.Lane(name, own) for name, own in newest]
    moments = [float(moment) for one in series for moment in (one.starts[0], one.starts[-1])]
    moments += [moment for lane in lanes for span in lane.spans for moment in (span.start, span.end)]
    title = "Surges and drifts"
    svg = plots.time_line(lanes, start=min(moments), end=max(moments), title=title)
    there = {span.kind for lane in lanes for span in lane.spans}
    return Chart(title, Markup(svg), [(f"span-{kind}", name) for kind, name in _SPANS.items() if kind in there])


def _volume_chart(series: Sequence[CountSeries]) -> Chart | None:
    """Rows scored by window, of the sources with the most rows."""
    lines = [
        plots.Line(
            one.source,
            list(zip(one.starts.tolist(), (one.rows(ROW, SCORED) + one.rows(ROW, WITHHELD)).tolist(), strict=True)),
        )
        for one in series[:_MOST_LABELS]
    ]
    return _chart("Rows scored, by window", lines, "rows") if any(line.points for line in lines) else None


def _share_chart(series: CountSeries) -> Chart | None:
    """Shares of the labels that most rows have, by window."""
    bins, rows = series.counts.get(LABEL, ((), np.zeros((0, 0), np.int64)))
    order = [place for place in np.argsort(-rows.sum(axis=0), kind="stable") if bins[place] is not None][:_MOST_LABELS]
    if not order:
        return None
    lines = [
        plots.Line(str(bins[place]), list(zip(series.starts.tolist(), _shares(rows, place).tolist(), strict=True)))
        for place in order
    ]
    return _chart(f"{series.source}, model {series.model[:8]}", lines, "share of rows")


def _group_series(groups: pa.Table, surges: Sequence[Record]) -> tuple[list[CountSeries], list[CountSeries]]:
    """Of GROUPS the series of those with the most rows, the largest first, and of all that have surged."""
    sums = groups.group_by(["source", "group"]).aggregate([("rows", "sum")])
    order = sums.sort_by([("rows_sum", "descending"), ("source", "ascending"), ("group", "ascending")])
    largest = [_name(row["source"], row["group"]) for row in order.slice(0, _MOST_SOURCES).to_pylist()]
    names = pc.binary_join_element_wise(groups["source"], groups["group"], _PART)
    wanted = {*largest, *(_name(one.source, one.group) for one in surges if one.group is not None)}
    named = groups.set_column(0, "source", names).filter(pc.is_in(names, pa.array(sorted(wanted))))
    counts = named.rename_columns({"label": "bin"}).append_column("quantity", pa.repeat(LABEL, len(named)))
    counts = counts.append_column("scored_at", pa.nulls(len(named), COUNTS.field("scored_at").type))
    series = count_series(counts.select(COUNTS.names).cast(COUNTS))
    shown = sorted((one for one in series if one.source in largest), key=lambda one: largest.index(one.source))
    return shown[:_MOST_SOURCES], series


def _name(source: str | None, group: str | None) -> str:
    return _PART.join(part for part in (source, group) if part is not None)


def _shares(rows: npt.NDArray[np.int64], place: int) -> npt.NDArray[np.float64]:
    """The share of a bin in each window; NaN in one whose rows have no label."""
    total = rows.sum(axis=1)
    found: npt.NDArray[np.float64] = np.divide(rows[:, place], total, out=np.full(len(rows), np.nan), where=total > 0)
    return found


def _surge_chart(surge: Record, series: Sequence[CountSeries]) -> Chart | None:
    """The share of a label that surged, by window, and where it did; None where the table has no such rows any more."""
    name = _name(surge.source, surge.group)
    of_source = [one for one in series if (one.source, one.model) == (name, surge.model_fingerprint)]
    for one in of_source:
        bins, rows = one.counts.get(LABEL, ((), np.zeros((0, 0), np.int64)))
        if surge.quantity not in bins or surge.window_start is None or surge.window_end is None:
            continue
        shares = _shares(rows, bins.index(surge.quantity))
        inside = (one.starts >= _micros(surge.window_start)) & (one.starts < _micros(surge.window_end))
        lines = [
            plots.Line(str(surge.quantity), list(zip(one.starts.tolist(), shares.tolist(), strict=True))),
            plots.Line("surge", list(zip(one.starts[inside].tolist(), shares[inside].tolist(), strict=True))),
        ]
        caption = f"{one.source}: {surge.quantity}, surge from {surge.window_start:%Y-%m-%d %H:%M}"
        return _chart(caption, lines, "share of rows")
    return None


def _chart(caption: str, lines: Sequence[plots.Line], y_label: str) -> Chart:
    """Lines over moments in microseconds."""
    moments = [x for line in lines for x, _ in line.points]
    first, last = (f"{EPOCH + datetime.timedelta(microseconds=at):%Y-%m-%d}" for at in (min(moments), max(moments)))
    over = first if first == last else f"{first} to {last}"
    svg = plots.line_chart(lines, title=caption, x_label=f"{over}, UTC", y_label=y_label, of_time=True)
    return Chart(caption, Markup(svg), plots.legend(lines))  # whose text is escaped


def _micros(moment: datetime.datetime) -> float:
    return (moment - EPOCH) / datetime.timedelta(microseconds=1)


def _when(start: datetime.datetime, end: datetime.datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
