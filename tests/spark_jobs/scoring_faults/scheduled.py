"""Real schedulers, every few seconds: killed at random moments, two at once, and without a model."""

from __future__ import annotations

import datetime
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mapring.plan import Plan
from mapring.scores.table import read_table
from mapring.scores.work import find_work
from pipelines.scheduling.records import Record, finished_times, read_record
from tests.spark_jobs.faults.ground import MAPRING, processes_of
from tests.spark_jobs.scored_world import World
from tests.spark_jobs.scoring_faults.ground import Ground, rows_of

KILLS = 6
_MOST_SECONDS = 300
_OF_THE_RUN = ("run_id", "scored_at", "score", "probabilities")
_WORDS = ('schedule.cron="*/3 * * * * *"', "schedule.retry_seconds=1", "schedule.retries=1")


def scheduler_killed(ground: Ground) -> None:
    """Kill -9 at random moments, with new inputs each time: the last one ends with the table of a run in peace."""
    world = World(ground.own)
    plan = world.plan()
    chance = random.Random(17)
    for number in range(KILLS):
        world.add(f"day{number}", 5 + number, first=100 * number)
        process = _scheduler(plan)
        time.sleep(chance.uniform(2, 14))  # a run takes some eight seconds
        process.kill()
        process.wait()
    process = _scheduler(plan)
    _wait_for(lambda: find_work(world.plan())[1].is_done, process)
    _wait_for(lambda: bool(_records(plan)), process)  # which comes after the commit
    _stop(process)
    _assert_as_in_peace(world)
    assert {record.state for record in _records(plan)} == {"done"}
    assert not processes_of(plan.config)


def two_schedulers_at_once(ground: Ground) -> None:
    """Each time has one file, and no input is scored twice."""
    world = World(ground.own)
    plan = world.plan()
    both = [_scheduler(plan), _scheduler(plan)]
    for number in range(2):
        world.add(f"day{number}", 5, first=100 * number)
        _wait_for(lambda: find_work(world.plan())[1].is_done, *both)
    _wait_for(lambda: bool(_records(plan)), *both)
    for process in both:
        _stop(process)
    _assert_as_in_peace(world)
    assert {record.state for record in _records(plan)} == {"done"}
    table = read_table(plan.run.scores)
    assert table is not None and table.rows == 40


def model_of_a_schedule_missing(ground: Ground) -> None:
    """It is an error of the times until the model is there, and not the end of the scheduler."""
    world = World(ground.own)
    plan = world.plan()
    model, aside = Path(plan.model_directory), ground.own / "aside"
    model.rename(aside)
    process = _scheduler(plan)
    _wait_for(lambda: any(record.state == "failed" for record in _records(plan)), process)
    aside.rename(model)
    _wait_for(lambda: find_work(world.plan())[1].is_done, process)
    _wait_for(lambda: _records(plan)[-1].state == "done", process)
    _stop(process)
    _assert_as_in_peace(world)
    failed = [record for record in _records(plan) if record.state == "failed"]
    assert all(record.error is not None and "found no model at" in record.error for record in failed), failed


def _scheduler(plan: Plan) -> subprocess.Popen[bytes]:
    return subprocess.Popen([MAPRING, "schedule", plan.config, *_WORDS], stderr=subprocess.DEVNULL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(60) in (0, 128 + signal.SIGTERM)


def _wait_for(what: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        assert all(process.poll() is None for process in processes), "a scheduler ended by itself"
        time.sleep(0.5)


def _records(plan: Plan) -> list[Record]:
    """Oldest first."""
    now = datetime.datetime.now(datetime.UTC)
    root = plan.run.schedule
    return [read_record(root, moment) for moment in finished_times(root, now)][::-1]


def _assert_as_in_peace(world: World) -> None:
    """The table is sound and that of one scoring of all inputs: ids, rows, labels, lineage, and scores within 1e-5."""
    plan = world.plan()
    found = world.rows(plan)
    peace = world.plan(f"run_dir={world.root / 'peace'}")
    model = Path(peace.model_directory)
    model.parent.mkdir(parents=True)
    model.symlink_to(plan.model_directory)
    world.score(*peace.overrides)
    expected = rows_of(peace)
    assert [_exact(row) for row in found] == [_exact(row) for row in expected]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-5)


def _exact(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in _OF_THE_RUN}
