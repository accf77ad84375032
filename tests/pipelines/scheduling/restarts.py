"""A scheduler, or the scoring that it started, killed at a point; started again, every time is finished once."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from mapring.plan import Plan
from mapring.settings.schedule import Schedule
from pipelines.scheduling.lease import note_uri, read_note
from pipelines.scheduling.records import finished_times, read_record, remember_start
from tests.fault_table import count_survived
from tests.spark_jobs.faults.ground import MAPRING, faults_done, planted, processes_of
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.spark_jobs.scoring_faults.points import KillPoint

_SCHEDULE = Schedule(cron="0 * * * *", retries=1, retry_seconds=0.1)
_WORDS = (
    f'schedule.cron="{_SCHEDULE.cron}"',
    *("schedule.retries=1", "schedule.retry_seconds=0.1", "schedule.grace_seconds=5", "alerts={}"),
)
_MOST_SECONDS = 300

OF_SCHEDULERS = [
    KillPoint("pipelines.scheduling.records:remember_start", "after"),
    KillPoint("pipelines.scheduling.due:next_due", "after"),
    KillPoint("mapring.storage:create", "before", match="running.json"),
    KillPoint("mapring.storage:create", "after", match="running.json"),
    KillPoint("pipelines.scheduling.attempts:attempt", "before"),
    KillPoint("pipelines.scheduling.attempts:attempt", "after"),
    KillPoint("pipelines.launch:run_stage", "before"),
    KillPoint("pipelines.process:run_process", "before"),
    KillPoint("pipelines.process:run_process", "after"),
    KillPoint("pipelines.launch:run_stage", "after"),
    KillPoint("pipelines.alerts:alert_after_scoring", "before"),
    KillPoint("pipelines.alerts:make_alerting", "after"),
    KillPoint("pipelines.alerts:alert_after_scoring", "after"),
    KillPoint("pipelines.scheduling.records:publish", "before"),
    KillPoint("mapring.storage:create", "before", match="/times/"),
    KillPoint("mapring.storage:create", "after", match="/times/"),
    KillPoint("pipelines.scheduling.records:publish", "after"),
]
OF_SCORINGS = [  # the scheduler lives on, and tries again
    KillPoint("spark_jobs.scoring:write_scores", "after"),
    KillPoint("spark_jobs.scores_commit:commit_scores", "before"),
    KillPoint("spark_jobs.scores_commit:commit_scores", "after"),
    KillPoint("mapring.scores.seal:seal", "before"),
]


def killed_and_restarted(ground: Ground, point: KillPoint) -> None:
    """Kill -9 at the point, then one more scheduler: the table of a scoring in peace, and each time with one record."""
    plan = ground.plan()
    now = datetime.datetime.now(datetime.UTC)
    remember_start(plan.run.schedule, _SCHEDULE, now - datetime.timedelta(hours=1))
    of_scoring = point in OF_SCORINGS
    fault = point.fault if of_scoring else {**point.fault, "program": "mapring schedule "}
    done = _run(plan, planted(plan, **fault))
    assert faults_done(plan) == 1, f"the point was not reached: {done.stderr}"
    assert (done.returncode == 0) == of_scoring, done.stderr
    again = _run(plan)
    assert again.returncode == 0, again.stderr
    ground.assert_undisturbed(plan)
    root = plan.run.schedule
    records = [read_record(root, time) for time in finished_times(root, datetime.datetime.now(datetime.UTC))]
    assert records and {record.state for record in records} == {"done"}
    assert sum(record.missed + 1 for record in records) == len(_hours(now)), records
    assert read_note(note_uri(root)) is None and not processes_of(plan.config)


def restart_points_survived(points: Sequence[KillPoint] = (*OF_SCHEDULERS, *OF_SCORINGS)) -> int:
    """Kill real schedulers and scorings at all points; after how many nothing was lost and nothing done twice."""

    def check(point: KillPoint) -> Callable[[Path, Path], object]:
        return lambda shared, own: killed_and_restarted(Ground(shared, own), point)

    return count_survived((point.name, check(point)) for point in points)


def _run(plan: Plan, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [MAPRING, "schedule", plan.config, *plan.overrides, *_WORDS, "--once"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_MOST_SECONDS)


def _hours(start: datetime.datetime) -> list[datetime.datetime]:
    """Full hours from an hour before a moment until now, which may have passed one meanwhile."""
    first = start.replace(minute=0, second=0, microsecond=0)
    now = datetime.datetime.now(datetime.UTC)
    hours = (now - first) // datetime.timedelta(hours=1)
    return [first + datetime.timedelta(hours=number) for number in range(hours + 1)]
