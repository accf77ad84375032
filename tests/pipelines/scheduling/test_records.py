"""What a scheduler remembers: a file for each finished time, whatever the clock did."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from mapring.settings.schedule import Schedule
from pipelines.scheduling.records import (
    Record,
    finished_times,
    first_start,
    is_finished,
    publish,
    read_record,
    remember_start,
)

MOMENT = datetime.datetime(2026, 3, 28, 1, 0, tzinfo=datetime.UTC)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
SCHEDULE = Schedule(cron="0 * * * *")


def record(time: datetime.datetime, **values: object) -> Record:
    given: dict[str, object] = {"state": "done", "started": time, "finished": time + HOUR / 7, **values}
    return Record(time=time, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_finished_time_has_one_file_that_is_never_overwritten(where: str, tmp_path: Path) -> None:
    root = str(tmp_path) if where == "local" else f"memory://{tmp_path.name}/schedule"
    found = record(MOMENT, missed=3, attempts=2, is_news=True, error="a\nb", state="failed")
    assert not is_finished(root, MOMENT)
    assert publish(root, found)
    assert not publish(root, replace(found, error="another"))
    assert read_record(root, MOMENT) == found and is_finished(root, MOMENT)


def test_finished_times_are_told_newest_first_up_to_a_moment(tmp_path: Path) -> None:
    root = str(tmp_path)
    times = [MOMENT, MOMENT + HOUR, MOMENT + DAY, MOMENT + 400 * DAY]
    for time in times:
        publish(root, record(time))
    assert list(finished_times(root, MOMENT + 2 * DAY)) == [times[2], times[1], times[0]]
    assert list(finished_times(root, MOMENT + HOUR / 2)) == [MOMENT]
    assert list(finished_times(root, MOMENT - HOUR)) == []


def test_what_a_kill_leaves_of_a_file_is_passed_over(tmp_path: Path) -> None:
    publish(str(tmp_path), record(MOMENT))
    (tmp_path / "times" / "2026-03-28" / ".020000Z.json.0a1b.tmp").write_bytes(b"{")
    assert list(finished_times(str(tmp_path), MOMENT + DAY)) == [MOMENT]


def test_a_schedule_counts_from_when_it_was_first_seen(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert first_start(root, SCHEDULE, MOMENT) is None
    assert remember_start(root, SCHEDULE, MOMENT) == MOMENT
    assert remember_start(root, SCHEDULE, MOMENT + DAY) == MOMENT == first_start(root, SCHEDULE, MOMENT + DAY)
    assert remember_start(root, Schedule(cron="0  * * * *"), MOMENT + DAY) == MOMENT, "only spaces differ"
    for other in (Schedule(cron="1 * * * *"), Schedule(cron="0 * * * *", timezone="Europe/Berlin")):
        assert remember_start(root, other, MOMENT + DAY) == MOMENT + DAY


def test_a_first_start_by_a_clock_that_was_ahead_does_not_hold_up_the_schedule(tmp_path: Path) -> None:
    root = str(tmp_path)
    remember_start(root, SCHEDULE, MOMENT + 10_000 * DAY)
    assert remember_start(root, SCHEDULE, MOMENT) == MOMENT
    assert remember_start(root, SCHEDULE, MOMENT + HOUR) == MOMENT
