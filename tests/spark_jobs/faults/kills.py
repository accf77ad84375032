"""Real kill -9 of each process of a job, at the point where it has most to lose, and what a rerun publishes."""

from __future__ import annotations

from typing import Any

import psutil

from mapring.contract import is_published
from tests.spark_jobs.faults.ground import (
    CLUSTER,
    Ground,
    assert_clear_error,
    assert_identical,
    faults_done,
    planted,
    run_job,
)

_WROTE = {"point": "mapring.contract.publish:write_file", "when": "after"}  # and has not told the driver of it
_WRITES = {"point": "os:link"}  # the temporary file is there, its name is not
_RECORD = {"point": "os:link", "where": "driver", "match": "published.json"}


def killed_worker(ground: Ground) -> None:
    """A worker killed between writing a file and telling of it: the second attempt finds its own bytes."""
    _survives(ground, faults=1, **_WROTE)


def worker_killed_at_every_attempt(ground: Ground) -> None:
    """A worker that dies each time ends the job in one line; a rerun ignores what it left."""
    said = "Python worker was killed at every attempt"
    _fails(ground, said, faults=4, **{**_WRITES, "most": 100, "first_attempts": 100, "match": "/data/"})


def killed_executor(ground: Ground) -> None:
    """An executor JVM killed as its task writes: another one takes over, what it had computed is computed again."""
    _survives(ground, CLUSTER, faults=1, **_WROTE, victim="jvm")


def killed_driver_jvm(ground: Ground) -> None:
    """The driver's JVM killed as a task writes; the Python that it left behind ends by itself."""
    _fails(ground, "signal SIGKILL: it was killed", faults=1, **_WROTE, victim="jvm")
    left = [process for process in psutil.process_iter() if str(ground.own) in " ".join(_words(process))]
    assert not left


def killed_driver_python(ground: Ground) -> None:
    """The driver's Python killed between the manifest and the record that would make it count."""
    _fails(ground, "signal SIGKILL: it was killed", faults=1, **_RECORD)


def tasks_killed_at_random(ground: Ground) -> None:
    """Two of five first attempts at writing die, anywhere."""
    _survives(ground, faults=2, **_WROTE, share=0.4, most=1000, first_attempts=2)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended between the two looks
        return []


def _survives(ground: Ground, *overrides: str, faults: int, **fault: Any) -> None:
    plan = ground.plan(*overrides)
    done = run_job(plan, planted(plan, **fault))
    assert done.returncode == 0, done.stderr
    assert faults_done(plan) >= faults, "the fault was not planted"
    assert_identical(plan, ground.undisturbed())


def _fails(ground: Ground, said: str, *, faults: int, **fault: Any) -> None:
    plan = ground.plan()
    assert_clear_error(run_job(plan, planted(plan, **fault)), said)
    assert not is_published(plan.shards_directory)
    assert faults_done(plan) >= faults, "the fault was not planted"
    again = run_job(plan)
    assert again.returncode == 0 and is_published(plan.shards_directory), again.stderr
    assert_identical(plan, ground.undisturbed())
