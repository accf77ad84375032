"""A scheduler with a clock that is turned by hand, and runs that only take time."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

from mapring.settings.schedule import Schedule
from pipelines.schedule import Scheduler
from pipelines.scheduling.records import Record, finished_times, read_record

START = datetime.datetime(2026, 3, 28, 9, 59, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
LATER = START + datetime.timedelta(days=10_000)


def at(hour: int, minute: int = 0) -> datetime.datetime:
    """A time of the day of `START`."""
    return START.replace(hour=hour, minute=minute)


class Killed(BaseException):
    """Stands for a kill: no `except Exception` catches it."""


class FakeClock:
    """Waiting turns it; it tells to stop at a time of its own."""

    def __init__(self, now: datetime.datetime = START, stop_at: datetime.datetime = LATER) -> None:
        self.time, self.stop_at = now, stop_at
        self.passed = 0.0
        self.waits: list[float] = []
        self.while_waiting: Callable[[], object] = lambda: None

    def now(self) -> datetime.datetime:
        return self.time

    def steady(self) -> float:
        return self.passed

    def wait(self, seconds: float) -> bool:
        self.while_waiting()
        if seconds:
            self.waits.append(seconds)
        self.advance(seconds)
        return self.time >= self.stop_at

    def advance(self, seconds: float) -> None:
        self.time += datetime.timedelta(seconds=seconds)
        self.passed += seconds


class Life:
    """One process of a scheduler on a run directory; `runs` are the moments at which its runs began.

    `work` is called by each run and may take time, fail or kill.
    """

    def __init__(self, root: Path, clock: FakeClock, cron: str = "0 * * * *", **settings: object) -> None:
        self.root, self.clock = str(root), clock
        self.runs: list[datetime.datetime] = []
        self.work: Callable[[], bool | None] = lambda: clock.advance(120)
        schedule = Schedule.model_validate({"cron": cron, **settings})
        self.scheduler = Scheduler("pipeline.yaml", schedule, self.root, clock, self._run)

    def _run(self, started: Callable[[int], None]) -> bool:
        self.runs.append(self.clock.now())
        return self.work() is not False

    def until(self, moment: datetime.datetime) -> Life:
        """Let it live until a moment, at which it is told to stop."""
        self.clock.stop_at = moment
        self.scheduler.loop()
        return self

    def records(self) -> list[Record]:
        """What it remembers, oldest first."""
        return [read_record(self.root, time) for time in finished_times(self.root, LATER)][::-1]

    def finished(self) -> list[tuple[datetime.datetime, str, int]]:
        """Of each finished time its state and how many missed ones it stands for."""
        return [(record.time, record.state, record.missed) for record in self.records()]
