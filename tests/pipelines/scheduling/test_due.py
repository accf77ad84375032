"""Which times are due: held against a look at every single minute, also where clocks go forward and back."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.settings.schedule import Schedule
from pipelines.scheduling.due import Due, next_due, times_after, times_between

UTC = datetime.UTC
MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
CHANGES = {  # a moment shortly before the clocks change, forward and back
    "Europe/Berlin": ((2026, 3, 28, 20), (2026, 10, 24, 20)),
    "America/New_York": ((2026, 3, 8, 2), (2026, 11, 1, 1)),
    "Australia/Sydney": ((2026, 10, 3, 10), (2026, 4, 4, 10)),
    "UTC": ((2026, 3, 28, 20), (2026, 12, 31, 20)),
}


def utc(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


def first(schedule: Schedule, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    return list(itertools.islice(times_after(schedule, after), count))


def local(schedule: Schedule, times: Sequence[datetime.datetime]) -> list[str]:
    return [time.astimezone(ZoneInfo(schedule.timezone)).strftime("%d %H:%M %Z") for time in times]


def fields(text: str, size: int) -> set[int]:
    """What a field of stars, steps, lists and numbers stands for."""
    found: set[int] = set()
    for part in text.split(","):
        base, _, step = part.partition("/")
        found |= set(range(0, size, int(step or 1))) if base == "*" else {int(base)}
    return found


def slowly(schedule: Schedule, after: datetime.datetime, until: datetime.datetime) -> list[datetime.datetime]:
    """Every minute of (after, until] that is due by Debian cron's rules, found without cronsim."""
    zone = ZoneInfo(schedule.timezone)
    minute, hour = schedule.cron.split()[:2]
    minutes, hours = fields(minute, 60), fields(hour, 24)
    all_minutes = [after.replace(second=0) + number * MINUTE for number in range(1, int((until - after) / MINUTE) + 1)]
    if minute.startswith("*") or hour.startswith("*"):  # by real time
        walls = [(moment, moment.astimezone(zone)) for moment in all_minutes]
        return [moment for moment, wall in walls if wall.minute in minutes and wall.hour in hours]
    found = set()
    for day in range(-1, 4):
        date = after.astimezone(zone).date() + datetime.timedelta(days=day)
        for wall in (datetime.datetime(date.year, date.month, date.day, h, m) for h in hours for m in minutes):
            moment = wall.replace(tzinfo=zone)
            while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
                moment += MINUTE  # this wall time does not come: the first one that does
            found.add(moment.astimezone(UTC))
    return sorted(moment for moment in found if after < moment <= until)


numbers = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True).map(lambda found: ",".join(map(str, found)))
hours_of_night = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(
    lambda found: ",".join(map(str, found))
)
crons = st.builds(
    lambda minute, hour: f"{minute} {hour} * * *",
    st.one_of(numbers, st.sampled_from(["*", "*/5", "*/20", "0"])),
    st.one_of(hours_of_night, st.sampled_from(["*", "*/2", "*/3"])),
)
schedules = st.builds(lambda cron, zone: Schedule(cron=cron, timezone=zone), crons, st.sampled_from(sorted(CHANGES)))


@given(schedules, st.booleans(), st.integers(0, 900))
def test_times_are_those_of_a_look_at_every_minute(schedule: Schedule, is_back: bool, minutes: int) -> None:
    after = utc(*CHANGES[schedule.timezone][is_back]) + minutes * MINUTE
    until = after + 30 * HOUR
    assert list(itertools.takewhile(lambda time: time <= until, times_after(schedule, after))) == slowly(
        schedule, after, until
    )


@given(schedules, st.booleans(), st.integers(0, 3600), st.integers(0, 86_400))
def test_times_do_not_hang_on_where_one_begins(schedule: Schedule, is_back: bool, first_s: int, later: int) -> None:
    """A scheduler that is started anew, at any second, goes on where the other one would have."""
    start = utc(*CHANGES[schedule.timezone][is_back]) + datetime.timedelta(seconds=first_s)
    restart = start + datetime.timedelta(seconds=later)
    until = start + 36 * HOUR
    undisturbed = [time for time in times_between(schedule, start, until) if time > restart]
    assert times_between(schedule, restart, until) == undisturbed


@given(schedules, st.integers(1, 50), st.integers(1, 40))
def test_the_newest_times_of_a_gap_are_found_from_its_end(schedule: Schedule, hours: int, most: int) -> None:
    after = utc(*CHANGES[schedule.timezone][0])
    until = after + hours * HOUR
    everything = list(itertools.takewhile(lambda time: time <= until, times_after(schedule, after)))
    assert times_between(schedule, after, until, most) == everything[-most:]


def test_a_gap_of_fifty_years_costs_no_more_than_its_newest_times() -> None:
    begin = time.monotonic()
    found = times_between(Schedule(cron="* * * * *"), utc(1976, 1, 1), utc(2026, 1, 1), most=100)
    assert found == [utc(2026, 1, 1) - number * MINUTE for number in reversed(range(100))]
    assert time.monotonic() - begin < 2, "26 million times were looked at"


def test_a_fixed_hour_that_is_skipped_runs_right_after_the_gap_and_a_doubled_one_once() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    assert local(schedule, first(schedule, utc(2026, 3, 27, 12), 3)) == [
        "28 02:30 CET",
        "29 03:00 CEST",
        "30 02:30 CEST",
    ]
    assert local(schedule, first(schedule, utc(2026, 10, 24, 12), 2)) == ["25 02:30 CEST", "26 02:30 CET"]


def test_what_runs_by_the_hour_goes_by_real_time() -> None:
    schedule = Schedule(cron="0 * * * *", timezone="Europe/Berlin")
    assert local(schedule, first(schedule, utc(2026, 3, 29, 0), 2)) == ["29 03:00 CEST", "29 04:00 CEST"]
    back = local(schedule, first(schedule, utc(2026, 10, 24, 23, 30), 4))
    assert back == ["25 02:00 CEST", "25 02:00 CET", "25 03:00 CET", "25 04:00 CET"]


def test_a_start_within_the_doubled_hour_does_not_run_the_first_one_s_times_again() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    within_the_second = utc(2026, 10, 25, 1, 10)  # 02:10 for the second time
    assert local(schedule, first(schedule, within_the_second, 1)) == ["26 02:30 CET"]


def test_six_fields_begin_with_seconds() -> None:
    assert first(Schedule(cron="*/20 * * * * *"), utc(2026, 1, 1), 3) == [
        utc(2026, 1, 1, 0, 0, 20),
        utc(2026, 1, 1, 0, 0, 40),
        utc(2026, 1, 1, 0, 1),
    ]


MISSED = [utc(2026, 1, 1, hour) for hour in range(1, 6)]


@pytest.mark.parametrize(
    ("settings", "late", "expected"),
    [
        ({}, 10, Due(MISSED[-1], 4)),
        ({"catch_up": "all"}, 10, Due(MISSED[0], 0)),
        ({"catch_up": "all", "most_missed": 2}, 10, Due(MISSED[3], 3)),
        ({"catch_up": "none"}, 10, Due(MISSED[-1], 4)),
        ({"catch_up": "none"}, 61, Due(MISSED[-1], 4, is_run=False)),
        ({"catch_up": "none", "late_seconds": 90}, 61, Due(MISSED[-1], 4)),
    ],
)
def test_the_policy_says_which_of_the_missed_times_is_run(
    settings: dict[str, object], late: int, expected: Due
) -> None:
    schedule = Schedule.model_validate({"cron": "0 * * * *", **settings})
    assert next_due(schedule, MISSED, MISSED[-1] + datetime.timedelta(seconds=late)) == expected
    assert next_due(schedule, [], MISSED[-1]) is None


@given(
    st.sampled_from(["latest", "all", "none"]),
    st.integers(1, 8),
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    schedules,
    st.booleans(),
)
def test_every_time_is_accounted_for_once(
    policy: str, most: int, pauses: list[int], schedule: Schedule, is_back: bool
) -> None:
    """However long a scheduler is away: what it runs, passes over or counts as missed are all times, each once."""
    extra = {"most_missed": most} if policy == "all" else {}
    schedule = Schedule.model_validate(
        {"cron": schedule.cron, "timezone": schedule.timezone, "catch_up": policy, **extra}
    )
    start = now = last = utc(*CHANGES[schedule.timezone][is_back])
    accounted, finished = 0, []
    for pause in pauses:
        now += pause * MINUTE
        while (due := next_due(schedule, times_between(schedule, last, now), now)) is not None:
            accounted += 1 + due.missed
            finished.append(due.time)
            last = due.time
    everything = times_between(schedule, start, now)
    assert accounted == len(everything)
    assert finished == sorted(set(finished)) and set(finished) <= set(everything)
    if policy == "all" and most >= len(everything):
        assert finished == everything
