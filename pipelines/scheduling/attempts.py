"""One time, to its end: attempts at its run, pauses between them, and the record of what came."""

from __future__ import annotations

import datetime
import traceback
from collections.abc import Callable

from mapring.errors import MapringError, in_one_line
from mapring.progress import say, seconds_text
from mapring.settings.schedule import Schedule
from pipelines.scheduling.due import Due
from pipelines.scheduling.records import Record, State
from pipelines.scheduling.stopping import Clock

_LONGEST_PAUSE = 3600.0
_MOST_TOLD = 300  # characters of an error


def attempt(
    due: Due, schedule: Schedule, run: Callable[[], bool], is_finished: Callable[[], bool], clock: Clock
) -> Record | None:
    """Run what is due until it succeeds or its retries are used up.

    Args:
        due: the time.
        schedule: how often and after which pauses it is tried again.
        run: does the work; returns whether there was any. Its errors are those of this time, and not of the scheduler.
        is_finished: whether another scheduler has finished this time meanwhile.
        clock: what tells the time and waits.

    Returns:
        What came of it; None when we were told to stop between two attempts, or another scheduler was first.
    """
    started = clock.now()
    pause = schedule.retry_seconds
    error = ""
    for number in range(1, schedule.retries + 2):
        try:
            is_news = run()
        except Exception as failure:
            error = _told(failure)
        else:
            return _record(due, "done", started, clock, number, is_news=is_news)
        say("schedule", f"{told_time(due.time)} failed at attempt {number} of {schedule.retries + 1}: {error}")
        if number > schedule.retries:
            break
        say("schedule", f"trying again in {seconds_text(min(pause, _LONGEST_PAUSE))}")
        if clock.wait(min(pause, _LONGEST_PAUSE)) or is_finished():
            return None
        pause *= 2
    return _record(due, "failed", started, clock, schedule.retries + 1, error=error)


def passed_over(due: Due, clock: Clock) -> Record:
    """The record of times that are not run, since they were missed."""
    now = clock.now()
    return Record(time=due.time, state="passed over", started=now, finished=now, missed=due.missed)


def told_time(time: datetime.datetime) -> str:
    """A scheduled time in messages."""
    return time.strftime("%Y-%m-%d %H:%M" + (":%S" if time.second else "") + " UTC")


def _record(
    due: Due,
    state: State,
    started: datetime.datetime,
    clock: Clock,
    attempts: int,
    *,
    is_news: bool = False,
    error: str | None = None,
) -> Record:
    return Record(
        time=due.time,
        state=state,
        started=started,
        finished=clock.now(),
        missed=due.missed,
        attempts=attempts,
        is_news=is_news,
        error=error,
    )


def _told(failure: Exception) -> str:
    """The line of an error; of one that was not meant for users also its kind, and all of it in the log."""
    if isinstance(failure, MapringError):
        return str(failure).splitlines()[0][:_MOST_TOLD]
    traceback.print_exception(failure)
    return f"{type(failure).__name__}: {in_one_line(failure)}"
