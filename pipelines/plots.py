"""Plots of the report as SVG: pure functions from numbers to markup, coloured by the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 94, 14, 14, 52
_MOST_POINTS = 400  # of one line: more than there are pixels to tell apart on a phone, little enough to send
_MOST_X_LABELS = 9
_LANE = 46  # height of a lane of a time line: a line of text and a bar
_MOST_LETTERS = 52  # of a lane's name: 612 pixels hold them at a phone's 19
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = 3_600_000_000  # microseconds
_DAY = 24 * _HOUR
_TIME_STEPS = (
    *(_HOUR // 60 * minutes for minutes in (1, 5, 15, 30)),
    *(_HOUR * hours for hours in (1, 3, 6, 12)),
    *(_DAY * days for days in (1, 2, 5, 7, 14, 30, 91)),
)
_SMALLEST_SPAN = 1e-290  # of an axis; a fifth of the smallest floats is 0


@dataclass(frozen=True)
class Line:
    """One line of a chart; `faint` lines are drawn thin and behind the others."""

    name: str
    points: Sequence[tuple[float, float]]
    faint: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar: what stands below it, its height, and what shows when it is pointed at."""

    label: str
    value: float
    hint: str


@dataclass(frozen=True)
class Span:
    """A stretch of a lane of a time line, from `start` to `end`; what it is, and what shows when it is pointed at."""

    start: float
    end: float
    kind: str
    hint: str


@dataclass(frozen=True)
class Lane:
    """One line of a time line."""

    name: str
    spans: Sequence[Span]


def line_chart(lines: Sequence[Line], *, title: str, x_label: str, y_label: str, of_time: bool = False) -> str:
    """Lines over a shared pair of axes; points that are not finite are left out, a line of one point is a dot.

    `of_time` says that x is in microseconds since 1970, and shown as dates in UTC.
    """
    ordered = sorted(lines, key=lambda line: not line.faint)
    kept = [Line(line.name, thin(_finite(line.points), _MOST_POINTS), line.faint) for line in ordered]
    behind = sum(line.faint for line in kept)
    points = [point for line in kept for point in line.points]
    if not points:
        return ""
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_ticks = ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points), 5)
    across = partial(_place, low=x_low, high=x_high, start=_LEFT, end=WIDTH - _RIGHT)
    parts = [_y_axis(y_ticks, y_label)]
    marks = time_ticks(x_low, x_high) if of_time else [(tick, tick_text(tick)) for tick in ticks(x_low, x_high, 6)]
    parts += [_x_text(across(tick), text) for tick, text in marks if x_low <= tick <= x_high]
    for index, line in enumerate(kept):
        places = [(across(x), _place(y, y_ticks[0], y_ticks[-1], HEIGHT - _BOTTOM, _TOP)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        style = "line faint" if line.faint else f"line line-{(index - behind) % 3}"
        last = tick_text(line.points[-1][1]) if line.points else "none"
        hint = f"<title>{escape(line.name)}: last {last}</title>"
        if len(places) == 1:
            parts.append(
                f'<circle class="{style} dot" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="5">{hint}</circle>'
            )
        elif places:
            parts.append(f'<polyline class="{style}" points="{path}">{hint}</polyline>')
    return _figure(parts, title, x_label)


def bar_chart(bars: Sequence[Bar], *, title: str, x_label: str, y_label: str) -> str:
    """Bars side by side, their heights from zero."""
    if not bars:
        return ""
    y_ticks = ticks(0.0, max(bar.value for bar in bars), 5)
    parts = [_y_axis(y_ticks, y_label)]
    room = (WIDTH - _LEFT - _RIGHT) / len(bars)
    every = math.ceil(len(bars) / _MOST_X_LABELS)
    for index, bar in enumerate(bars):
        left = _LEFT + index * room
        top = _place(bar.value, 0.0, y_ticks[-1], HEIGHT - _BOTTOM, _TOP)
        gap = min(2.0, room / 5)
        parts.append(
            f'<rect class="bar" x="{left + gap / 2:.1f}" y="{top:.1f}" width="{room - gap:.1f}" '
            f'height="{HEIGHT - _BOTTOM - top:.1f}"><title>{escape(bar.hint)}</title></rect>'
        )
        if index % every == 0:
            parts.append(_x_text(left + room / 2, bar.label))
    return _figure(parts, title, x_label)


def time_line(lanes: Sequence[Lane], *, start: float, end: float, title: str) -> str:
    """Lanes below each other over the same dates, in microseconds since 1970; empty where nothing is on them.

    A name stands above its lane, so that long ones have room. A span is drawn 4 pixels wide at least.
    """
    if not any(lane.spans for lane in lanes):
        return ""
    left, bottom = 14, 28
    height = _TOP + _LANE * len(lanes) + bottom
    across = partial(_place, low=start, high=max(end, start + 1), start=left, end=WIDTH - _RIGHT)
    parts = []
    for tick, text in time_ticks(start, end):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - bottom}"/>')
        parts.append(_text(min(max(x, left + 24), WIDTH - _RIGHT - 24), height - 6, text))
    for number, lane in enumerate(lanes):
        top = _TOP + number * _LANE
        parts.append(f'<text class="tick" x="{left}" y="{top + 15}">{escape(_short(lane.name))}</text>')
        middle = top + _LANE - 16
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - _RIGHT}" y1="{middle}" y2="{middle}"/>')
        for span in lane.spans:
            first, last = (across(min(max(moment, start), end)) for moment in (span.start, span.end))
            width = max(last - first, 4.0)
            parts.append(
                f'<rect class="span span-{span.kind}" x="{min(first, WIDTH - _RIGHT - width):.1f}" y="{middle - 9}" '
                f'width="{width:.1f}" height="18" rx="3"><title>{escape(span.hint)}</title></rect>'
            )
    return svg(parts, title, height)


def legend(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Class and name of each line of a chart, in the order in which `line_chart` gives them colours."""
    ordered = sorted(lines, key=lambda line: not line.faint)
    behind = sum(line.faint for line in ordered)
    return [
        ("faint" if line.faint else f"line-{(index - behind) % 3}", line.name) for index, line in enumerate(ordered)
    ]


def time_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round moments between two, in microseconds since 1970, five at most or so, and how they are written."""
    step = next((step for step in _TIME_STEPS if (high - low) / step <= 6), _TIME_STEPS[-1])
    first = math.ceil(low / step) * step
    number = int((high - first) // step) + 1 if first <= high else 0
    every = max(1, math.ceil(number / 6))
    form = "%b %d" if step >= _DAY else "%d, %H:%M"
    found = [first + place * step for place in range(0, number, every)]
    return [(moment, (_EPOCH + timedelta(microseconds=moment)).strftime(form)) for moment in found]


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` points: means of equally many neighbours, so that no part of a curve is favoured."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)] if size > 1 else []
    if not groups:
        return list(points)
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def smooth(points: Sequence[tuple[float, float]], weight: float = 0.95) -> list[tuple[float, float]]:
    """Exponential moving average with the bias of its start taken out (Kingma and Ba 2015, section 3)."""
    mean, result = 0.0, []
    for count, (x, y) in enumerate(_finite(points), 1):
        mean = weight * mean + (1 - weight) * y
        result.append((x, mean / (1 - weight**count)))
    return result


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, about so many, that span from `low` to `high`; steps are 1, 2 or 5 times a power of ten."""
    if high - low < _SMALLEST_SPAN:
        high = low + (abs(low) if abs(low) > _SMALLEST_SPAN else 1.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A number as an axis shows it: 1,200 or 0.25 or 1e-04."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _short(name: str) -> str:
    """A name that fits over a lane, also in the letters of a phone."""
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    """Where a value of the range low to high lies between two pixels."""
    if high == low:
        return (start + end) / 2
    return start + (value - low) / (high - low) * (end - start)


def _y_axis(values: Sequence[float], label: str) -> str:
    parts = []
    for value in values:
        y = _place(value, values[0], values[-1], HEIGHT - _BOTTOM, _TOP)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick_text(value)}</text>')
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="name" x="22" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 22 {middle})">{escape(label)}</text>'
    )
    return "".join(parts)


def _x_text(x: float, text: str) -> str:
    return _text(x, HEIGHT - _BOTTOM + 20, text)


def _text(x: float, y: float, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'


def _figure(parts: Sequence[str], title: str, x_label: str) -> str:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    name = f'<text class="name" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
    return svg([*parts, name], title, HEIGHT)


def svg(parts: Sequence[str], title: str, height: float, style: str = "") -> str:
    """A drawing of the charts' width, named by its title; `style` is its class."""
    shape = f' class="{style}"' if style else ""
    return (
        f'<svg{shape} viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
