"""Look after look: what was found once is no news, whatever windows are long, and whatever was removed since."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from mapring.watch.findings import Finding
from pipelines.alerting.drifts import new_drifts
from pipelines.alerting.evidence import Evidence
from tests.mapring.watch.counts import START, drift, hour_rows, hours
from tests.pipelines.alerting.world import SURGE, Ground, World

DAY = datetime.timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Ground(tmp_path))


def test_alerts_go_on_where_a_file_of_the_log_was_removed(world: World) -> None:
    world.drifts = tuple(drift(f"quantity{number}", "shop", 24 * 9 + 9, 24 * 9 + 10) for number in range(2))
    world.look()
    log = world.folder / "alerts" / "log"
    assert sorted(path.name for path in log.iterdir()) == [f"{number:08d}.json" for number in range(3)]
    (log / "00000001.json").unlink()
    world.drifts = (*world.drifts, drift("quantity9", "shop", 24 * 9 + 9, 24 * 9 + 10))
    world.look()
    names = sorted(path.name for path in log.iterdir())
    assert names[:2] == ["00000000.json", "00000002.json"] and "00000003.json" in names
    assert "quantity9" in [record.quantity for record in world.log()]


def test_what_the_log_has_is_not_recorded_again(world: World) -> None:
    world.look()
    [record] = world.log()
    alerting = world.alerting()
    before = alerting.gather()
    (world.folder / "alerts" / "judged.json").unlink()
    shifted = replace(alerting, gather=lambda: Evidence(counts=before.counts, newest=before.newest))
    shifted.look()
    assert [one.id for one in world.log()] == [record.id]


def test_a_source_that_ended_long_ago_brings_up_no_old_surge_of_another(tmp_path: Path) -> None:
    """Its last windows are judged at a first look, those of the other source three days before are not."""
    shares = dict.fromkeys(SURGE, 0.3)
    ended = [one for hour in range(SURGE.stop) for one in hour_rows(hour, source="ended")]
    world = World(Ground(tmp_path), [*hours(24 * 12, shares), *ended], hour=24 * 12).look()
    assert world.log() == []
    surged = [one for hour in range(SURGE.stop) for one in hour_rows(hour, shares.get(hour), source="ended")]
    other = World(Ground(tmp_path / "other"), [*hours(24 * 12), *surged], hour=24 * 12).look()
    assert [record.source for record in other.log()] == ["ended"]


def daily(length: datetime.timedelta, looks: int) -> list[Finding]:
    """What is news, look by look, where each ended window of 150 days drifts."""
    known: tuple = ()  # type: ignore[type-arg]
    news: list[Finding] = []
    for number in range(looks):
        now = START + number * DAY
        ended = int((now - START) / length)
        found = [
            replace(
                drift("language", "shop", 0, 1), window_start=START + k * length, window_end=START + (k + 1) * length
            )
            for k in range(ended)
        ]
        newest = {("shop", True): START + (ended - 1) * length} if ended else {}
        fresh, known = new_drifts(found, known, newest, back=7 * DAY, quiet=7 * DAY, length=length)
        news += fresh
    return news


@pytest.mark.parametrize("days", [1, 7, 14, 30])
def test_a_drift_that_lasts_is_one_alert_however_long_windows_are(days: int) -> None:
    [finding] = daily(days * DAY, 150)
    assert finding.window_start == START


def test_a_source_that_lags_behind_is_told_of_and_old_windows_are_not(world: World) -> None:
    late, old = drift("language", "shop", 24 * 9, 24 * 9 + 1), drift("language", "shop", 0, 1)
    newest = {("shop", True): START + 9 * DAY, ("other", True): START + 90 * DAY}
    found, extents = new_drifts([late, old], (), newest, back=7 * DAY, quiet=7 * DAY, length=DAY / 24)
    assert found == [late] and len(extents) == 1
