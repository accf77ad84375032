"""The report in a real browser has nothing wrong with it, and each thing that can be wrong is found."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.applications.report import VARIABLE, report_figures
from benchmarks.browser.chromium import HOW_TO_INSTALL, BrowserError, Tab, executable, open_tab
from benchmarks.browser.page import LOOKS, PHONE, check_page
from mapring.plan import make_plan
from mapring.watch.counting import COUNTS
from mapring.watch.drift import find_drift
from mapring.watch.reference import Reference
from mapring.watch.watched import Watched
from pipelines.alerting.records import Record
from pipelines.report import render
from pipelines.report_data import gather_data
from pipelines.report_scores import gather_scores
from pipelines.report_training import gather_model
from pipelines.report_watch import WatchPage, make_page
from tests.pipelines.test_report import publish_model, publish_shards, score_rows
from tests.tiny import write_world

pytestmark = pytest.mark.skipif(executable() is None, reason=HOW_TO_INSTALL)

RARE = "a label whose name is as long as a sentence that somebody wrote for a menu"
HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HOURS = 24 * 12
SURGE = range(24 * 9, 24 * 9 + 5)
DRIFT = range(24 * 10, HOURS)
GOOD = '<!doctype html><title>t</title><body style="background:#fff;color:#000">'
PLOT = '<svg viewBox="0 0 300 100" width="300" height="100" role="img" aria-label="plot">{}</svg>'


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with open_tab() as opened:
        yield opened


def found_in(tab: Tab, folder: Path, html: str) -> set[str]:
    page = folder / "page.html"
    page.write_text(html)
    return {problem.kind for problem in check_page(tab, page, LOOKS[:1])}


def watch_of(plan_settings: object, log: list[Record]) -> WatchPage:
    """A watch section with a surge and a drift in counts of hours."""
    rows = []
    for hour in range(HOURS):
        rare = 40 if hour in SURGE else 60 if hour in DRIFT else 8
        for quantity, counts in (("label", {"often": 100 - rare, RARE: rare}), ("row", {"scored": 100})):
            for name, number in counts.items():
                moment = START + hour * HOUR
                own = {"source": "mail", "model_fingerprint": "0" * 16, "window_start": moment, "scored_at": None}
                rows.append({**own, "quantity": quantity, "bin": name, "rows": number})
    counts = pa.Table.from_pylist(rows, schema=COUNTS)
    expected = {"label": {"often": 920, RARE: 80}}
    reference = Reference(model="0" * 16, split="test", rows=1000, expected=expected, missing={})
    settings = plan_settings.watch  # type: ignore[attr-defined]
    drift = find_drift(counts, {"0" * 16: reference}, settings, START + HOURS * HOUR)
    table = type("Table", (), {"version": 3})()
    watched = Watched(settings=plan_settings, table=table, counts=counts, references={})  # type: ignore[arg-type]
    assert any(one.is_drift for one in drift.judged)
    return make_page(watched, drift, log)


def record(status: str, start: int, hours: int) -> Record:
    return Record(
        kind="surge",
        quantity=RARE,
        source="mail",
        window_start=START + start * HOUR,
        window_end=START + (start + hours) * HOUR,
        observed=0.4,
        expected=0.08,
        statistic=9.0,
        q_value=1e-6,
        rows=100,
        model_fingerprint="0" * 16,
        id=str(start),
        status=status,  # type: ignore[arg-type]
        reason=None if status == "alert" else "a drift",
        pipeline="tiny",
        count=40,
        examples=(),
        examples_note=None,
        recorded_at=START + (start + 1) * HOUR,
    )


def test_the_whole_report_is_sound_in_light_and_dark_on_a_desk_and_on_a_phone(tab: Tab, tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    plan = make_plan(config, ["watch.window=1h", "watch.judged_windows=200"])
    publish_shards(plan)
    publish_model(plan)
    score_rows(plan)
    watch = watch_of(plan.settings, [record("alert", SURGE[0], 5), record("held back", DRIFT[0], 2)])
    page = tmp_path / "report.html"
    page.write_text(render(plan, gather_data(plan), gather_model(plan), gather_scores(plan), START, watch))
    assert [str(problem) for problem in check_page(tab, page)] == []
    assert tab.evaluate("document.querySelectorAll('svg').length") > 12
    kinds = tab.evaluate("[...document.querySelectorAll('.span')].map(one => one.classList[1])")
    assert set(kinds) == {"span-surge", "span-held", "span-drift"}


def test_a_report_of_nothing_is_sound(tab: Tab, tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    page = tmp_path / "report.html"
    page.write_text(render(make_plan(config), None, None, None, START))
    assert [str(problem) for problem in check_page(tab, page)] == []


@pytest.mark.parametrize(
    ("kind", "html"),
    [
        ("console error", "<script>missing()</script>"),
        ("console error", "<script>console.error('found')</script>"),
        ("request", "<img src='http://127.0.0.1:9/picture.png' alt='none'>"),
        ("plot without marks", PLOT.format("<line x1='0' x2='300' y1='5' y2='5' stroke='red'/>")),
        ("plot without marks", PLOT.format("<polyline points=''/>")),
        ("plot without size", PLOT.replace('height="100"', 'height="0"').format("<rect width='9' height='9'/>")),
        ("plot without a name", "<svg width='300' height='90'><rect width='9' height='9'/></svg>"),
        ("label cut off", PLOT.format("<rect width='9' height='9'/><text x='280' y='50'>a long label</text>")),
        (
            "labels overlap",
            PLOT.format("<rect width='9' height='9'/><text x='9' y='50'>one</text><text x='20' y='50'>two</text>"),
        ),
        ("broken link", "<a href='#nowhere'>there</a>"),
        ("page scrolls sideways", "<div style='width: 3000px'>wide</div>"),
        ("contrast", "<p style='color: #999'>grey on white</p>"),
    ],
)
def test_what_is_wrong_is_found(tab: Tab, tmp_path: Path, kind: str, html: str) -> None:
    assert kind in found_in(tab, tmp_path, GOOD + html)


def test_what_is_right_is_not(tab: Tab, tmp_path: Path) -> None:
    plot = PLOT.format("<circle cx='50' cy='50' r='4'/><text x='50' y='90'>label</text>")
    wide = "<div class='wide' style='overflow-x: auto'><div style='width: 3000px'>scrolls within itself</div></div>"
    assert found_in(tab, tmp_path, f"{GOOD}<a href='#here'>here</a><p id='here'>text</p>{plot}{wide}") == set()


def test_white_boxes_in_the_dark_are_found(tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>t</title><body style='background: #fff; color: #000'><p>white</p>")
    assert {problem.kind for problem in check_page(tab, page, [(PHONE, "dark")])} == {"white box in dark"}


def test_a_page_that_is_not_there_is_said(tab: Tab, tmp_path: Path) -> None:
    with pytest.raises(BrowserError, match="ERR_FILE_NOT_FOUND"):
        tab.open((tmp_path / "none.html").as_uri())


def test_a_picture_has_the_size_that_was_asked_for(tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(GOOD)
    tab.look(width=500, scheme="light", height=300)
    tab.open(page.as_uri())
    for picture, size in ((tab.screenshot(), (500, 300)), (tab.screenshot((0, 0, 120, 40)), (120, 40))):
        assert picture[:4] == b"\x89PNG" and tuple(np.frombuffer(picture[16:24], ">u4")) == size


def test_the_figures_count_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="make demo"):
        report_figures()
    (tmp_path / "report.html").write_text(f"{GOOD}<a href='#no'>there</a><script>console.error('found')</script>")
    found = {figure.name: figure.value for figure in report_figures()}
    assert (found["report_console_errors"], found["report_page_problems"]) == (4, 10), "white in the dark, too"
