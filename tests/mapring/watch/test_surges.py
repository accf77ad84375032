"""Surges in counts: found once, soon, only where there is enough to judge; held back where something explains them."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from mapring.settings.alerts import Surges
from mapring.watch.extent import Extent
from mapring.watch.findings import Finding
from mapring.watch.series import read_series
from mapring.watch.surges import Surge, find_surges
from tests.mapring.watch.counts import (
    HOUR,
    MODEL,
    START,
    drift,
    evaluate,
    hour_of,
    hour_rows,
    hours,
    in_all,
    row,
    table,
)

DAY = 24 * HOUR
JUDGED = range(24 * 8, 24 * 10)
BEGIN = 24 * 9


def found(surge: Surge) -> tuple[str, int, int]:
    """Label, first hour, and the hour after which it was known."""
    return surge.finding.quantity, hour_of(surge.finding.window_start), hour_of(surge.finding.window_end)


def test_nothing_is_found_where_nothing_happens() -> None:
    evaluation = evaluate(hours(240), JUDGED)
    assert evaluation.surges == () and evaluation.judged == 48 and not evaluation.passed_over


def test_a_surge_is_found_in_its_first_window_and_once() -> None:
    [surge] = evaluate(hours(240, dict.fromkeys(range(BEGIN, BEGIN + 6), 0.3)), JUDGED).surges
    assert found(surge) == ("rare", BEGIN, BEGIN + 1)
    assert surge.finding.observed == pytest.approx(0.3, abs=0.05) and 0.08 < surge.finding.expected < 0.13
    assert surge.count == round(surge.finding.observed * surge.finding.rows) and surge.explained_by is None
    assert surge.finding.q_value < 1e-6 and surge.finding.model_fingerprint == MODEL


def test_a_small_surge_is_found_in_several_windows_together() -> None:
    surges = evaluate(hours(240, dict.fromkeys(range(BEGIN, BEGIN + 8), 0.165), rows=200), JUDGED).surges
    [(label, first, known)] = [found(surge) for surge in surges]
    assert label == "rare" and BEGIN - 3 <= first <= BEGIN + 4 and BEGIN + 2 <= known <= BEGIN + 8


def test_hour_by_hour_the_same_is_found_as_all_at_once() -> None:
    rows = hours(240, {**dict.fromkeys(range(200, 204), 0.3), **dict.fromkeys(range(225, 228), 0.25)})
    whole = evaluate(rows, range(190, 240))
    known: tuple[Extent, ...] = ()
    surges: list[Surge] = []
    for hour in range(190, 240):
        seen = [one for one in rows if one["window_start"] <= START + hour * HOUR]  # type: ignore[operator]
        alerts = [surge.finding.window_end - HOUR for surge in surges if surge.finding.window_end is not None]
        step = evaluate(seen, range(hour, hour + 1), known=known, alerts=alerts)
        known, surges = step.extents, [*surges, *step.surges]
    assert tuple(surges) == whole.surges and known == whole.extents and len(surges) == 2


@pytest.mark.parametrize(("pause", "alerts"), [(11, 1), (17, 2)])
def test_a_pause_longer_than_the_cooldown_makes_it_another_surge(pause: int, alerts: int) -> None:
    shares = {BEGIN - 8: 0.4, BEGIN - 8 + 1 + pause: 0.4}
    assert len(evaluate(hours(240, shares), JUDGED).surges) == alerts


@pytest.mark.parametrize("cooldown", [0.0, 12.0])
def test_a_surge_of_days_is_one_where_windows_are_longer_than_the_cooldown(cooldown: float) -> None:
    shares = dict.fromkeys(range(24 * 40, 24 * 47, 24), 0.4)
    rows = [one for hour in range(0, 24 * 47, 24) for one in hour_rows(hour, shares.get(hour))]
    series = read_series(table(rows))
    evaluation = find_surges(series, in_all(series, range(40, 47), DAY), Surges(cooldown_hours=cooldown), DAY)
    assert [surge.finding.window_start for surge in evaluation.surges] == [START + 40 * DAY]
    assert evaluation.extents[0].last == START + 46 * DAY


def test_a_surge_that_lasts_is_one_however_long() -> None:
    evaluation = evaluate(hours(240, dict.fromkeys(range(195, 240), 0.3)), JUDGED)
    assert [found(surge)[1] for surge in evaluation.surges] == [195]
    assert hour_of(evaluation.extents[0].last) == 239


def test_a_surge_that_is_known_is_no_news_and_grows() -> None:
    rows = hours(240, dict.fromkeys(range(BEGIN, BEGIN + 6), 0.3))
    known = evaluate(rows, range(BEGIN, BEGIN + 1)).extents
    evaluation = evaluate(rows, range(BEGIN - 4, BEGIN + 8), known=known)
    assert evaluation.surges == () and hour_of(evaluation.extents[0].last) >= BEGIN + 5


def test_only_the_surging_label_is_told() -> None:
    rows = hours(240, dict.fromkeys(range(BEGIN, BEGIN + 3), 0.6))
    assert {surge.finding.quantity for surge in evaluate(rows, JUDGED).surges} == {"rare"}


@pytest.mark.parametrize(
    "settings",
    [
        Surges(minimum_rows=2000),
        Surges(minimum_label_rows=500),
        Surges(minimum_ratio=4),
        Surges(minimum_excess=0.3),
        Surges(warm_up_days=20, history_days=30),
    ],
)
def test_what_is_too_small_or_too_new_is_no_surge(settings: Surges) -> None:
    assert evaluate(hours(240, {BEGIN: 0.3}), JUDGED, settings=settings).surges == ()


def test_why_windows_were_not_judged_is_told() -> None:
    rows = [*hours(200), *hours(240, first=210, rows=30)]
    assert evaluate(rows, JUDGED).passed_over == {"no rows": 10, "fewer rows than minimum_rows": 30}
    assert evaluate(hours(100), range(50, 60)).passed_over == {"no history yet": 10}


def test_a_few_windows_long_ago_are_no_history() -> None:
    rows = [*hours(10), *hours(24 * 9, {24 * 8 + 5: 0.4}, first=24 * 8)]
    assert evaluate(rows, range(24 * 8, 24 * 9)).passed_over == {"no history yet": 24}


def test_a_label_that_was_never_there_surges() -> None:
    rows = [*hours(240), row(BEGIN, "new", 200)]
    [surge] = evaluate(rows, JUDGED).surges
    assert found(surge)[:2] == ("new", BEGIN) and surge.finding.expected < 0.001


def test_rows_without_a_label_count_as_rows_and_never_surge() -> None:
    rows = [*hours(240), row(BEGIN, None, 5000)]
    assert evaluate(rows, JUDGED).surges == ()


def test_of_two_sources_the_one_that_surges_is_told() -> None:
    rows = [*hours(240, {BEGIN: 0.3}), *hours(240, source="forum")]
    [surge] = evaluate(rows, JUDGED).surges
    assert surge.finding.source == "shop"


def test_what_is_found_does_not_hang_on_the_order_of_the_counts() -> None:
    rows = [*hours(240, {BEGIN: 0.3}), *hours(240, source="forum")]
    shuffled = [rows[place] for place in np.random.default_rng(3).permutation(len(rows))]
    assert evaluate(shuffled, JUDGED) == evaluate(rows, JUDGED)


def test_another_model_in_the_window_holds_back() -> None:
    rows = [*hours(240, {BEGIN: 0.3}), *hour_rows(BEGIN, 0.3, rows=100, model="1" * 16)]
    [surge] = evaluate(rows, JUDGED).surges
    assert surge.explained_by == "rows of the window are by several models"
    [sent] = evaluate(rows, JUDGED, settings=Surges(hold_back=("drift",))).surges
    assert sent.explained_by is None


def test_another_model_shortly_before_holds_back_until_it_has_a_history_of_its_own() -> None:
    new = "1" * 16
    rows = [*hours(230), *hours(24 * 20, {234: 0.3, 24 * 19: 0.3}, first=230, model=new)]
    early, late = evaluate(rows, range(231, 24 * 20)).surges
    assert found(early)[1] == 234 and early.explained_by is not None and new in early.explained_by
    assert found(late)[1] == 24 * 19 and late.explained_by is None


def test_a_table_scored_anew_by_another_model_is_judged_as_before() -> None:
    rows = hours(240, {BEGIN: 0.3}, model="1" * 16)
    assert [surge.explained_by for surge in evaluate(rows, JUDGED).surges] == [None]


@pytest.mark.parametrize(
    ("finding", "explains"),
    [
        (drift("input_tokens", "shop", BEGIN - 5, BEGIN - 4), True),
        (drift("language", None, BEGIN, BEGIN + 1), True),
        (drift("input_tokens", "forum", BEGIN, BEGIN + 1), False),
        (drift("input_tokens", "shop", BEGIN - 50, BEGIN - 49), False),
        (drift("input_tokens", "shop", BEGIN + 2, BEGIN + 3), False),
        (drift("label", "shop", BEGIN, BEGIN + 1), False),
    ],
)
def test_a_drift_of_the_texts_of_the_source_holds_back(finding: Finding, explains: bool) -> None:
    [surge] = evaluate(hours(240, {BEGIN: 0.3}), JUDGED, drifts=[finding]).surges
    assert (surge.explained_by is not None) == explains


def test_seasons_follow_the_clocks_of_a_time_zone() -> None:
    """A label that comes at 12 local time, over the night in which Berlin's clocks go forward."""
    begin = datetime.datetime(2026, 3, 9, tzinfo=datetime.UTC)
    first = round((begin - START) / HOUR)
    rows = []
    for hour in range(first, first + 24 * 25):
        moment = START + hour * HOUR
        local = (moment.hour + (1 if moment < datetime.datetime(2026, 3, 29, 1, tzinfo=datetime.UTC) else 2)) % 24
        share = 0.3 if 11 <= local <= 13 else 0.1
        noise = np.random.default_rng(hour).normal(0, 0.01)
        rows += [row(hour, "noon", int(1000 * (share + noise))), row(hour, "other", int(1000 * (1 - share - noise)))]
    judged = range(first + 24 * 15, first + 24 * 25)
    assert evaluate(rows, judged, settings=Surges(timezone="Europe/Berlin")).surges == ()
