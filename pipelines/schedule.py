"""`mapring schedule`: run what is due, wait for the next time, and begin where the last one ended."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

from rich.console import Console

from mapring import storage
from mapring.errors import MapringError, SettingsError, StageError, in_one_line
from mapring.plan import make_plan
from mapring.progress import say, seconds_text
from mapring.run_directory import RunDirectory
from mapring.settings import load_settings
from mapring.settings.schedule import Schedule
from pipelines.alerts import alert_after_scoring, open_sinks
from pipelines.launch import run_stage
from pipelines.run import run
from pipelines.scheduling import records
from pipelines.scheduling.attempts import attempt, passed_over, told_time
from pipelines.scheduling.due import MOST_COUNTED, Due, next_due, times_after, times_between
from pipelines.scheduling.lease import Lease, note_uri
from pipelines.scheduling.records import Record
from pipelines.scheduling.stopping import Clock, SystemClock
from pipelines.stages import stages_of
from pipelines.tables import PlainTable

_LONGEST_SLEEP = 60.0  # a clock that was set, or a laptop that slept, is noticed within a minute
_LOOK_SECONDS = 5.0  # at the work of another scheduler
_SHOWN = 10


@dataclass
class Scheduler:
    """One pipeline's schedule.

    `run` does the work of a time, and is told where to report the process that does it; `at_work` is held around it.
    """

    config: str
    schedule: Schedule
    root: str
    clock: Clock
    run: Callable[[Callable[[int], None]], bool]
    at_work: Callable[[], AbstractContextManager[None]] = nullcontext
    lease: Lease = field(init=False)

    def __post_init__(self) -> None:
        self.lease = Lease(note_uri(self.root), self.config, self.clock, self.schedule.grace_seconds)

    def loop(self) -> None:
        """Run what is due whenever it is, until we are told to stop."""
        told: datetime.datetime | None = None
        seconds = 0.0
        while not self.clock.wait(seconds):
            try:
                due = self.due()
                if due is not None:
                    self._work(due)
                    seconds = 0.0 if self.lease.other is None else _LOOK_SECONDS
                    continue
                now = self.clock.now()
                self.lease.tidy(now)
                coming = next(times_after(self.schedule, now))
                if coming != told:
                    say("schedule", f"next run at {told_time(coming)}")
                told = coming
                seconds = min((coming - now).total_seconds(), _LONGEST_SLEEP)
            except Exception as error:
                if not isinstance(error, MapringError | OSError) and not storage.is_of_store(error):
                    raise
                # The run directory does not answer; nothing is lost by waiting.
                seconds = min(self.schedule.retry_seconds, _LONGEST_SLEEP)
                told_error = in_one_line(error) or type(error).__name__
                say("schedule", f"{told_error}; trying again in {seconds_text(seconds)}")
        say("schedule", "stopped as asked")

    def once(self) -> None:
        """Run what is due, and end.

        Raises:
            StageError: the last run failed.
        """
        last: Record | None = None
        seconds = 0.0
        while not self.clock.wait(seconds):
            due = self.due()
            if due is None:
                self.lease.tidy(self.clock.now())
                break
            found = self._work(due)
            if found == "busy":
                say("schedule", f"{self.lease.other} is at work on this run directory; nothing to do here")
                return
            last = found if isinstance(found, Record) else last
            seconds = 0.0 if isinstance(found, Record) else _LOOK_SECONDS
        else:
            say("schedule", "stopped as asked")
            return
        if last is None:
            say("schedule", f"nothing is due; the next time is {told_time(self.next())}")
        elif last.error is not None:
            raise StageError(f"schedule: {told_time(last.time)}: {last.error}")

    def due(self) -> Due | None:
        """The next run by what is finished and the clock."""
        now = self.clock.now()
        return next_due(self.schedule, self.missed(now), now)

    def missed(self, now: datetime.datetime) -> list[datetime.datetime]:
        """Times that have come and are not finished, ascending."""
        start = records.remember_start(self.root, self.schedule, now)
        last = next(records.finished_times(self.root, now), start)
        return times_between(self.schedule, max(last, start), now)

    def next(self) -> datetime.datetime:
        """The first time to come."""
        return next(times_after(self.schedule, self.clock.now()))

    def _work(self, due: Due) -> Record | Literal["busy", "unknown"]:
        """Finish a time, unless another scheduler is at it; what came, or what is known of the other's note."""
        taken = self.lease.take(due.time)
        if taken != "taken":
            return taken
        with self.lease.beating():
            now_due = self.due()  # less, where somebody else had the lease in between
            record = None if now_due is None else self._finish(now_due)
            if record is None:
                return "unknown"
            if not records.publish(self.root, record):
                say("schedule", f"{told_time(record.time)} was also finished by another scheduler")
            return record

    def _finish(self, due: Due) -> Record | None:
        self._tell(due)
        if not due.is_run:
            return passed_over(due, self.clock)

        def run() -> bool:
            with self.at_work():
                return self.run(self.lease.tell_stage)

        return attempt(due, self.schedule, run, lambda: records.is_finished(self.root, due.time), self.clock)

    def _tell(self, due: Due) -> None:
        most = "at least " if due.missed >= MOST_COUNTED - 1 else ""
        also = f", and {most}{due.missed:,} missed times before it" if due.missed else ""
        late = max(0.0, (self.clock.now() - due.time).total_seconds())
        if due.is_run:
            say("schedule", f"running {told_time(due.time)}{also}, {seconds_text(late)} after it")
        else:
            say("schedule", f"passing over {told_time(due.time)}{also}: {seconds_text(late)} late (schedule.catch_up)")


def schedule(config: str, overrides: Sequence[str], *, once: bool = False, dry_run: bool = False) -> None:
    """Run a pipeline by its schedule until we are told to stop; `once` what is due; `dry_run` only tells the times.

    Raises:
        SettingsError: there is no schedule, or a setting is wrong.
        StageError: with `once`, the last run failed.
    """
    clock = SystemClock()
    scheduler = make_scheduler(config, overrides, clock)
    if dry_run:
        print_times(scheduler.schedule, scheduler.root, clock.now())
        return
    with clock.listening():
        if once:
            scheduler.once()
        else:
            scheduler.loop()


def make_scheduler(config: str, overrides: Sequence[str], clock: SystemClock) -> Scheduler:
    """The scheduler of a pipeline on this machine.

    Inputs may still be missing: what is wrong with them is told by the runs.

    Raises:
        SettingsError: there is no schedule, or a setting is wrong.
    """
    settings = load_settings(config, overrides)
    found = settings.schedule
    if found is None:
        raise SettingsError(
            f"{config}: schedule: is missing; add it, such as schedule: '0 6 * * *' for each day at 6:00"
        )

    if settings.alerts is not None:
        open_sinks(config, settings, settings.alerts, clock)  # what is missing for them is told now

    def stages(started: Callable[[int], None]) -> bool:
        if found.command == "run":
            return run(config, overrides, started, stop_seconds=found.grace_seconds)
        plan = make_plan(config, overrides)
        done = [
            run_stage(stage, plan, started, stop_seconds=found.grace_seconds)
            for stage in stages_of(plan.settings, "score")
        ]
        return any(done)

    def work(started: Callable[[int], None]) -> bool:
        try:
            is_news = stages(started)
        except Exception:  # what was scored before a later stage failed has its alerts all the same
            alert_after_scoring(config, overrides, clock)
            raise
        alert_after_scoring(config, overrides, clock)
        return is_news

    return Scheduler(config, found, RunDirectory(settings.run_dir).schedule, clock, work, clock.at_work)


def print_times(schedule: Schedule, root: str, now: datetime.datetime) -> None:
    """Print the next times, and what is due now; nothing is written."""
    start = records.first_start(root, schedule, now)
    if start is not None:
        last = next(records.finished_times(root, now), start)
        missed = times_between(schedule, max(last, start), now)
        due = next_due(schedule, missed, now)
        if due is not None:
            what = "would run" if due.is_run else "would be passed over"
            Console().print(f"{told_time(due.time)} is due and {what}; it stands for {due.missed:,} times before it")
    table = PlainTable(f"{schedule.cron} ({schedule.timezone})")
    for heading in ("UTC", schedule.timezone, "in"):
        table.add_column(heading)
    for time in itertools.islice(times_after(schedule, now), _SHOWN):
        local = time.astimezone(ZoneInfo(schedule.timezone)).isoformat(sep=" ")
        table.add_row(told_time(time), local, seconds_text((time - now).total_seconds()))
    Console().print(table)
