"""Surges of groups beside those of their source: found by the same tests, and told once."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from mapring.settings.alerts import Surges
from mapring.watch.extent import Extent
from mapring.watch.series import read_group_series, read_series
from mapring.watch.surges import Evaluation, find_surges
from tests.mapring.watch.counts import HOUR, MODEL, START, drift, hour_of, in_all
from tests.mapring.watch.grouped import Shares, grouped, of_sources

BEGIN = 24 * 8 + 6
JUDGED = range(24 * 8, 24 * 8 + 20)
LAST = 24 * 8 + 20
SURGE: Shares = dict.fromkeys(range(BEGIN, BEGIN + 5), 0.35)
VOLUMES = {"A": 400, "B": 300, "C": 250, "D": 200, "E": 150, "tiny": 30}


def judge(groups: pa.Table, judged: Sequence[int] = JUDGED, *, known: Sequence[Extent] = ()) -> Evaluation:
    settings = Surges()
    series = [*read_series(of_sources(groups)), *read_group_series(groups, settings.minimum_rows)]
    return find_surges(series, in_all(series, judged), settings, HOUR, known=known)


def told(evaluation: Evaluation) -> list[tuple[str | None, int]]:
    """The group of each surge, and its first hour."""
    return [(surge.finding.group, hour_of(surge.finding.window_start)) for surge in evaluation.surges]


def test_nothing_is_found_where_nothing_happens() -> None:
    evaluation = judge(grouped(LAST, VOLUMES))
    assert evaluation.surges == () and evaluation.told_by_others == 0
    assert evaluation.judged == 6 * len(JUDGED), "the source and five groups; one is too small"
    assert not evaluation.passed_over


def test_a_surge_of_a_small_group_that_its_source_hides_is_found() -> None:
    volumes = {**VOLUMES, "other": 6000}
    [surge] = judge(grouped(LAST, volumes, {"E": SURGE})).surges
    assert (surge.finding.source, surge.finding.group, surge.finding.quantity) == ("shop", "E", "rare")
    assert hour_of(surge.finding.window_end) == BEGIN + 1 and surge.finding.rows == 150
    assert surge.count == round(surge.finding.observed * 150) and surge.finding.model_fingerprint == MODEL


def test_a_surge_of_one_group_that_lifts_its_source_is_told_of_the_group() -> None:
    evaluation = judge(grouped(LAST, VOLUMES, {"A": SURGE}))
    assert told(evaluation) == [("A", BEGIN)] and evaluation.told_by_others >= 1
    assert [(extent.group, hour_of(extent.last)) for extent in evaluation.extents if extent.group is None] == []
    alone = read_series(of_sources(grouped(LAST, VOLUMES, {"A": SURGE})))
    assert len(find_surges(alone, in_all(alone, JUDGED), Surges(), HOUR).surges) == 1, (
        "without groups it is the source's"
    )


def test_a_surge_of_all_is_told_once() -> None:
    evaluation = judge(grouped(LAST, VOLUMES, dict.fromkeys(VOLUMES, SURGE)))
    assert told(evaluation) == [(None, BEGIN)] and evaluation.told_by_others >= 4


def test_a_surge_of_all_is_the_source_s_also_where_few_groups_have_volume() -> None:
    volumes = {"A": 400, **{f"small{number}": 60 for number in range(10)}}
    evaluation = judge(grouped(LAST, volumes, dict.fromkeys(volumes, SURGE)))
    assert told(evaluation) == [(None, BEGIN)]


def test_when_a_group_s_surge_becomes_one_of_all_that_is_news() -> None:
    later = {hour: share for hour, share in SURGE.items() if hour >= BEGIN + 3}
    surges = {**dict.fromkeys(VOLUMES, later), "A": SURGE}
    evaluation = judge(grouped(LAST, VOLUMES, surges))
    assert told(evaluation) == [("A", BEGIN), (None, BEGIN + 3)]


def test_a_group_that_goes_on_when_its_source_is_calm_again_is_told() -> None:
    longer = dict.fromkeys(range(BEGIN, BEGIN + 12), 0.35)
    evaluation = judge(grouped(LAST, VOLUMES, {**dict.fromkeys(VOLUMES, SURGE), "B": longer}))
    assert [group for group, _ in told(evaluation)] == [None, "B"]


def test_hour_by_hour_the_same_is_found_as_all_at_once() -> None:
    counts = grouped(LAST, VOLUMES, {"A": SURGE, "E": {BEGIN + 2: 0.5}})
    whole = judge(counts)
    known: tuple[Extent, ...] = ()
    surges = []
    for hour in JUDGED:
        seen = counts.filter(pa.compute.field("window_start") <= START + hour * HOUR)
        step = judge(seen, [hour], known=known)
        known, surges = step.extents, [*surges, *step.surges]
    assert [one.finding.group for one in surges] == [one.finding.group for one in whole.surges] == ["A", "E"]
    assert known == whole.extents
    again = judge(counts, known=known)
    assert again.surges == () and again.extents == known, "what is known is no news"


@pytest.mark.parametrize("source", ["shop", None])
def test_a_drift_of_the_source_holds_its_groups_back(source: str | None) -> None:
    groups = grouped(LAST, VOLUMES, {"A": SURGE})
    series = [*read_series(of_sources(groups)), *read_group_series(groups, 100)]
    [surge] = find_surges(
        series, in_all(series, [BEGIN]), Surges(), HOUR, drifts=[drift("input_tokens", source, BEGIN, BEGIN + 1)]
    ).surges
    assert surge.finding.group == "A" and surge.explained_by is not None and "input_tokens" in surge.explained_by
