"""The made-up months that surges are measured on, and what is counted as found, late and false."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.operations import surges
from benchmarks.operations.surge_month import HOURS, SHARES, SOURCES, Month, make_month
from benchmarks.operations.surges import Alert, judge, threshold, z_score
from mapring.watch.series import read_series


@pytest.fixture(scope="module")
def month() -> Month:
    return make_month(1)


def test_a_month_follows_from_its_seed(month: Month) -> None:
    assert make_month(1).table.equals(month.table) and not make_month(2).table.equals(month.table)
    assert [len(one.starts) for one in read_series(month.table)] == [HOURS] * len(SOURCES)


def test_shares_vary_more_than_draws_from_an_urn() -> None:
    series = read_series(make_month(1, with_surges=False).table)[0]
    shares = series.counts / series.rows[:, None]
    variance = np.diff(shares, axis=0).var(axis=0) / 2
    binomial = (SHARES * (1 - SHARES)) / np.median(series.rows)
    assert np.all(variance[:4] > 3 * binomial[:4])


def test_what_was_planted_is_in_the_counts(month: Month) -> None:
    calm = {one.source: one for one in read_series(make_month(1, with_surges=False).table)}
    large = [one for one in month.planted if one.factor == 5 and one.length >= 4]
    assert large and all(one.surged > 2 * one.expected for one in large if one.expected < 0.2)
    for one in read_series(month.table):
        for planted in (planted for planted in large if planted.source == one.source):
            part, label = slice(planted.start, planted.start + planted.length), one.labels.index(planted.label)
            assert one.counts[part, label].sum() / one.rows[part].sum() == pytest.approx(planted.surged, rel=0.15)
            assert calm[one.source].starts[planted.start] == one.starts[planted.start]


def test_found_late_and_false_are_counted(month: Month) -> None:
    first, second = [planted for planted in month.planted if planted.length >= 8][:2]
    alerts = [
        Alert(first.source, first.label, first.start + 3),
        Alert(first.source, first.label, first.start),  # before its first hour was over
        Alert(second.source, "another", second.start + 1),
    ]
    found = judge(lambda _month: alerts, [month])
    delays = {verdict.planted: verdict.delay for verdict in found.verdicts if verdict.delay is not None}
    assert delays == {first: 3} and found.false == [2]


def test_all_is_found_by_who_knows_it_and_simple_rules_find_some(month: Month) -> None:
    oracle = [Alert(planted.source, planted.label, planted.start + 1) for planted in month.planted]
    perfect = judge(lambda _month: oracle, [month])
    assert perfect.recall(lambda _one: True) == 1 and perfect.false == [0] and set(perfect.delays) == {1}
    for rule in (threshold, z_score(3)):
        found = judge(rule, [month])
        assert 0 < found.recall(lambda one: one.counts) <= 1 and found.false[0] > 5


def test_seeds_that_defaults_were_chosen_on_are_not_measured_on() -> None:
    assert not {*range(6), *range(100, 108), *range(200, 208)} & set(surges.SEEDS)
