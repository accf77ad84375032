"""Plots: sound SVG for any numbers, nothing outside the view box, round ticks, and text escaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.plots import (
    HEIGHT,
    WIDTH,
    Bar,
    Lane,
    Line,
    Span,
    bar_chart,
    legend,
    line_chart,
    smooth,
    thin,
    tick_text,
    ticks,
    time_line,
    time_ticks,
)

EVIL = '<script>alert("1")</script>&'
numbers = st.floats(-1e9, 1e9, allow_nan=False)
curves = st.lists(st.tuples(numbers, st.floats(allow_nan=True, allow_infinity=True, width=32)), min_size=1, max_size=30)


def coordinates(svg: str) -> list[tuple[str, float]]:
    """Every x and y that is drawn."""
    found = []
    for element in ElementTree.fromstring(svg).iter():
        for key, value in element.attrib.items():
            if key in ("x", "x1", "x2", "y", "y1", "y2"):
                found.append((key[0], float(value)))
            if key == "points":
                for pair in value.split():
                    x, y = pair.split(",")
                    found += [("x", float(x)), ("y", float(y))]
        if element.tag == "rect":
            found.append(("x", float(element.attrib["x"]) + float(element.attrib["width"])))
            found.append(("y", float(element.attrib["y"]) + float(element.attrib["height"])))
            assert float(element.attrib["width"]) >= 0 and float(element.attrib["height"]) >= 0
    return found


def assert_inside(svg: str) -> None:
    for axis, value in coordinates(svg):
        assert 0 <= value <= (WIDTH if axis == "x" else HEIGHT) + 0.2, (axis, value)


@given(st.lists(curves, min_size=1, max_size=3))
@example([[(5e-324, 0.0)]])
def test_lines_stay_in_the_view_box_whatever_the_numbers(given_curves: list[list[tuple[float, float]]]) -> None:
    lines = [Line(str(index), curve, faint=bool(index % 2)) for index, curve in enumerate(given_curves)]
    svg = line_chart(lines, title="t", x_label="x", y_label="y")
    drawable = any(math.isfinite(y) for curve in given_curves for _, y in curve)
    assert bool(svg) == drawable
    if svg:
        assert_inside(svg)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=80))
def test_bars_stay_in_the_view_box_and_are_as_high_as_their_values(values: list[int]) -> None:
    svg = bar_chart([Bar(str(value), value, f"{value}") for value in values], title="t", x_label="x", y_label="y")
    assert_inside(svg)
    heights = [float(found) for found in re.findall(r'<rect[^>]* height="([\d.]+)"', svg)]
    assert len(heights) == len(values)
    for value, height in zip(values, heights, strict=True):
        assert height == pytest.approx(max(heights) * value / max(max(values), 1), abs=0.11)


def test_all_text_is_escaped() -> None:
    evil = '<script>alert("1")</script>&'
    for svg in (
        line_chart([Line(evil, [(0, 1), (1, 2)])], title=evil, x_label=evil, y_label=evil),
        bar_chart([Bar(evil, 1, evil)], title=evil, x_label=evil, y_label=evil),
    ):
        assert "<script" not in svg
        root = ElementTree.fromstring(svg)
        assert evil in [element.text for element in root.iter()]


def test_nothing_to_draw_is_nothing() -> None:
    assert line_chart([], title="t", x_label="x", y_label="y") == ""
    assert line_chart([Line("a", [(0, math.nan)])], title="t", x_label="x", y_label="y") == ""
    assert bar_chart([], title="t", x_label="x", y_label="y") == ""


@given(numbers, st.floats(1e-9, 1e9), st.integers(2, 10))
def test_ticks_are_round_and_span_the_range(low: float, width: float, about: int) -> None:
    values = ticks(low, low + width, about)
    step = values[1] - values[0]
    slack = 1e-6 * max(step, abs(low) + width)
    assert values[0] <= low + slack and values[-1] >= low + width - slack
    assert len(values) <= about + 3
    if step > 1e-6 * abs(low):
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - whole) for whole in (1, 2, 5, 10)) < 0.01


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1200, "1,200"), (0.25, "0.25"), (0.0001, "0.0001"), (2e-5, "2e-05"), (99.5, "99.5")]
)
def test_tick_texts(value: float, text: str) -> None:
    assert tick_text(value) == text


@given(st.lists(st.tuples(numbers, numbers), max_size=300), st.integers(1, 50))
def test_thinning_bounds_the_number(points: list[tuple[float, float]], most: int) -> None:
    thinned = thin(points, most)
    assert len(thinned) <= most
    assert bool(thinned) == bool(points)


def test_thinned_points_are_means_of_neighbours() -> None:
    assert thin([(x, x * 10) for x in range(8)], 4) == [(0.5, 5), (2.5, 25), (4.5, 45), (6.5, 65)]
    assert thin([(0, 1), (1, 2)], 2) == [(0, 1), (1, 2)]


def test_a_smoothed_constant_is_itself_and_a_step_is_reached_from_below() -> None:
    assert [y for _, y in smooth([(x, 3.0) for x in range(50)])] == pytest.approx([3.0] * 50)
    risen = [y for _, y in smooth([(x, float(x >= 10)) for x in range(200)])]
    assert risen[9] == 0 and 0 < risen[10] < risen[50] < risen[199] < 1


DAY = 86_400_000_000
moments = st.integers(0, 80 * 365 * DAY)


def test_a_line_of_one_point_is_a_dot() -> None:
    svg = line_chart([Line("a", [(3.0, 1.0)])], title="t", x_label="x", y_label="y")
    assert svg.count("<circle") == 1 and "<polyline" not in svg
    assert_inside(svg)


def test_a_legend_names_lines_by_the_colours_that_they_have() -> None:
    lines = [
        Line("first", [(0, 1), (1, 2)]),
        Line("thin", [(0, 1), (1, 2)], faint=True),
        Line("second", [(0, 1), (1, 1)]),
    ]
    svg = line_chart(lines, title="t", x_label="x", y_label="y")
    drawn = [(style, name) for style, name in re.findall(r'class="line ([\w-]+)"[^>]*><title>(\w+):', svg)]
    assert drawn == legend(lines) == [("faint", "thin"), ("line-0", "first"), ("line-1", "second")]


@given(moments, st.integers(0, 4000 * DAY))
def test_moments_on_an_axis_are_few_and_between_its_ends(low: int, width: int) -> None:
    found = time_ticks(low, low + width)
    assert len(found) <= 7 and all(low <= moment <= low + width for moment, _ in found)
    if width > 3 * 3_600_000_000:
        assert found, "an axis of some hours has a moment on it"


@given(st.lists(st.tuples(st.integers(-5, 40), st.integers(0, 40)), min_size=1, max_size=20))
def test_spans_stay_in_the_time_line_and_are_wide_enough_to_be_seen(places: list[tuple[int, int]]) -> None:
    spans = [Span(first * DAY, (first + days) * DAY, "surge", EVIL) for first, days in places]
    svg = time_line([Lane(EVIL, spans), Lane("empty", [])], start=0, end=30 * DAY, title=EVIL)
    root = ElementTree.fromstring(svg)
    height = float(root.attrib["viewBox"].split()[3])
    for rect in root.iter("rect"):
        x, y, wide, high = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x >= 13.9 and x + wide <= WIDTH and wide >= 4 and y >= 0 and y + high <= height
    assert len(list(root.iter("rect"))) == len(spans) and "<script" not in svg


def test_a_time_line_of_nothing_is_nothing() -> None:
    assert time_line([Lane("a", [])], start=0, end=DAY, title="t") == ""
