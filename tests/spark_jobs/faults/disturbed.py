"""Faults in one process; the last two one after the other in one run directory, the second a rerun of the first."""

from __future__ import annotations

import errno
import functools
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from mapring.contract import RECORD_NAME, is_published
from mapring.plan import Plan, make_plan
from spark_jobs import tables
from spark_jobs.failures import explain_failure
from spark_jobs.preprocess import preprocess
from tests.spark_jobs.faults.corpus import write_dirty_world
from tests.spark_jobs.faults.ground import Ground, assert_identical

_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
_REAL, _LINK = tables._write_partition, os.link


class Outcome(NamedTuple):
    """What was told of a failed run, and whether it left a published record; `told` is None where it succeeded."""

    told: str | None
    published: bool


def disk_full_in_a_task(ground: Ground) -> None:
    """A task that cannot write ends the job with the place and what is free there."""
    with mock.patch.object(tables, "_write_partition", _in_tasks(_fill_disk)):
        _assert_told_full(_run(ground.plan()))


def disk_full_in_the_driver(ground: Ground) -> None:
    """No room for the record itself: all files are there and none of them counts."""
    _assert_told_full(disturbed(ground.shared)[0])


def killed_worker_in_process(ground: Ground) -> None:
    """A Python worker that is killed as it writes costs one attempt, and the bytes are those of a run in peace."""
    outcome = disturbed(ground.shared)[1]
    assert outcome == Outcome(None, True)
    killed = list((ground.shared / "killed").iterdir())
    assert len(killed) == 1, "the worker was killed once"
    assert_identical(_plan(ground.shared), ground.undisturbed())


def _assert_told_full(outcome: Outcome) -> None:
    assert outcome.told is not None and not outcome.published
    assert "\n" not in outcome.told and "the disk is full: found" in outcome.told
    assert "bytes free, expected room for" in outcome.told and "run the same command again" in outcome.told


def _plan(shared: Path) -> Plan:
    return make_plan(write_dirty_world(shared), [f"run_dir={shared / 'disturbed'}"])


@functools.cache
def disturbed(shared: Path) -> list[Outcome]:
    """What became of the two runs."""
    marks = shared / "killed"
    marks.mkdir(parents=True)
    with mock.patch("mapring.storage.os.link", _refuse_record):
        first = _run(_plan(shared))
    with mock.patch.object(tables, "_write_partition", _in_tasks(lambda: _kill_once(marks))):
        second = _run(_plan(shared))
    return [first, second]


def _run(plan: Plan) -> Outcome:
    try:
        preprocess(plan)
    except Exception as error:  # whatever it is, the user must be told in one line
        told = str(error) if type(error).__module__ == "mapring.errors" else explain_failure(error)  # type: ignore[arg-type]
        return Outcome(told or repr(error), is_published(plan.shards_directory))
    master = SparkSession.getActiveSession().sparkContext.master  # type: ignore[union-attr]
    assert master.endswith(",4]"), f"{master}: the first test that started Spark gave its tasks one attempt only"
    return Outcome(None, is_published(plan.shards_directory))


def _in_tasks(fault: Callable[[], None]) -> Callable[..., Iterator[pa.RecordBatch]]:
    """The writing of a partition with a fault at its start, as a closure, so that workers get it by value."""
    real = _REAL

    def write(batches: Iterable[pa.RecordBatch], **arguments: Any) -> Iterator[pa.RecordBatch]:
        fault()
        yield from real(batches, **arguments)

    return write


def _fill_disk() -> None:
    """From now on no finished file can be linked to its name in this worker; the worker is not used again."""

    def link(*_names: object) -> None:
        raise _FULL

    os.link = link


def _refuse_record(source: Path, target: Path) -> None:
    if target.name == RECORD_NAME:
        raise _FULL
    _LINK(source, target)


def _kill_once(marks: Path) -> None:
    task = TaskContext.get()
    assert task is not None
    if task.attemptNumber() == 0:
        try:
            (marks / "once").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
