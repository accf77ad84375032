"""Which times are due: pure functions of cron, time zone, the last finished time and now.

All times are UTC. Where a time of day does not come, because clocks go forward, a run at fixed hours comes right after
the gap; where it comes twice, because they go back, it runs once, the first time. What runs every so many minutes or
hours goes by real time. These are Debian cron's rules, and cronsim's.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim

from mapring.settings.schedule import Schedule

MOST_COUNTED = 10_000  # missed times that are counted one by one: a tenth of a second


@dataclass(frozen=True)
class Due:
    """A time that is due; `missed` are the times before it that it stands for, and get no run of their own.

    It is not run itself where the policy passes it over.
    """

    time: datetime.datetime
    missed: int
    is_run: bool = True


def times_after(schedule: Schedule, moment: datetime.datetime) -> Iterator[datetime.datetime]:
    """The times of a schedule after a moment, ascending, without end (or to the end of what cronsim looks at)."""
    zone = datetime.UTC if schedule.timezone == "UTC" else ZoneInfo(schedule.timezone)
    last = moment
    for found in CronSim(schedule.cron, moment.astimezone(zone)):
        time = found.astimezone(datetime.UTC)
        if time > last:  # within a doubled hour cronsim begins with the first of the two
            yield time
            last = time


def times_between(
    schedule: Schedule, after: datetime.datetime, until: datetime.datetime, most: int = MOST_COUNTED
) -> list[datetime.datetime]:
    """The newest `most` of the times after a moment up to another, ascending.

    A gap of years costs no more than `most` times do: it is looked at from its end, through windows that double.
    """
    window = datetime.timedelta(hours=1)
    while True:
        is_all = until - after <= window
        start = after if is_all else until - window
        found: deque[datetime.datetime] = deque(maxlen=most)
        for time in times_after(schedule, start):
            if time > until:
                break
            found.append(time)
        if is_all or len(found) == most:
            return list(found)
        window *= 2


def next_due(schedule: Schedule, missed: Sequence[datetime.datetime], now: datetime.datetime) -> Due | None:
    """The next run among times that have come and are not finished, by the policy; None where there are none.

    Args:
        schedule: the policy and its bounds.
        missed: these times, ascending.
        now: the moment at which the run would begin.
    """
    if not missed:
        return None
    newest = Due(missed[-1], len(missed) - 1)
    if schedule.catch_up == "all":
        passed_over = max(0, len(missed) - schedule.most_missed)
        return Due(missed[passed_over], passed_over)
    if schedule.catch_up == "none" and (now - newest.time).total_seconds() > schedule.late_seconds:
        return Due(newest.time, newest.missed, is_run=False)
    return newest
