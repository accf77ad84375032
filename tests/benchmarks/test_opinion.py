"""The made-up months of opinion, and what is counted: the entity must be named, echoes are no false alerts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.applications import opinion_surges
from benchmarks.applications.opinion_month import LABELS, SOURCE, VOLUMES, make_opinion_month
from benchmarks.applications.opinion_surges import alerts_of_a_general_surge, without_echoes
from benchmarks.operations.surge_month import Month
from benchmarks.operations.surges import Alert, judge, z_score
from mapring.watch.series import read_series


@pytest.fixture(scope="module")
def month() -> Month:
    return make_opinion_month(1)


@pytest.fixture(scope="module")
def general() -> Month:
    return make_opinion_month(1, is_general=True)


def test_a_month_follows_from_its_seed_and_its_source_is_the_sum(month: Month) -> None:
    assert make_opinion_month(1).table.equals(month.table)
    series = {one.source: one for one in read_series(month.table)}
    assert set(series) == {*VOLUMES, SOURCE} and series[SOURCE].labels == LABELS
    total = np.sum([series[entity].counts for entity in VOLUMES], axis=0)
    assert np.array_equal(total, series[SOURCE].counts)


def test_surges_are_negative_ones_of_single_entities_or_of_all(month: Month, general: Month) -> None:
    assert {one.source for one in month.planted} <= set(VOLUMES) and len({one.source for one in month.planted}) > 10
    assert {one.source for one in general.planted} == {SOURCE} and len(general.planted) >= 4
    assert {one.label for one in [*month.planted, *general.planted]} == {"negative"}
    series = {one.source: one for one in read_series(general.table)}
    strong = next(one for one in general.planted if one.factor >= 2)
    for name in ("entity00", "entity05", SOURCE):
        own = series[name].counts[strong.start : strong.start + strong.length].sum(axis=0)
        assert own[0] / own.sum() > 1.4 * 0.15


def test_an_alert_must_name_the_entity_and_an_echo_is_no_false_one(month: Month) -> None:
    one = next(one for one in month.planted if one.length >= 8)
    surging = {hour for each in month.planted for hour in range(each.start + 1, each.start + each.length + 1)}
    calm = next(hour for hour in range(200, 800) if hour not in surging)
    alerts = [
        Alert(SOURCE, "negative", one.start + 1),
        Alert(SOURCE, "negative", calm),
        Alert(one.source, "negative", one.start + 2),
    ]
    found = judge(without_echoes(lambda _month: alerts), [month])
    assert {verdict.planted: verdict.delay for verdict in found.verdicts if verdict.delay is not None} == {one: 2}
    assert found.false == [1], "the one in a calm hour"


def test_alerts_of_a_general_surge_are_counted_where_it_is_found(general: Month) -> None:
    one = next(one for one in general.planted if one.length >= 4)
    alerts = [Alert(name, "negative", one.start + 1) for name in (SOURCE, "entity00", "entity01")]
    assert alerts_of_a_general_surge(lambda _month: [*alerts, Alert(SOURCE, "positive", one.start + 1)], [general]) == 3
    assert alerts_of_a_general_surge(lambda _month: [], [general]) == 0
    assert alerts_of_a_general_surge(z_score(3), [general]) > 3, "simple rules tell of every entity"


def test_months_that_the_rule_was_made_on_are_not_measured_on() -> None:
    assert not {1, 2, 11, 12} & {*opinion_surges.SEEDS, *opinion_surges.GENERAL_SEEDS}
