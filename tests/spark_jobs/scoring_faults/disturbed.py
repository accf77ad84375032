"""Clocks, disks and other drivers: one more run gives the table of an undisturbed one."""

from __future__ import annotations

import datetime
import subprocess
from unittest import mock

from mapring.scores.table import read_table
from spark_jobs import scored_inputs, scores_commit, tables
from spark_jobs.failures import explain_failure
from spark_jobs.score import score
from tests.spark_jobs.faults.disturbed import _fill_disk, _in_tasks
from tests.spark_jobs.faults.ground import MAPRING
from tests.spark_jobs.scoring_faults.ground import Ground


class _YearsAgo(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _YearsAgo:  # type: ignore[override]
        return cls(2001, 1, 1, tzinfo=tz)


def clock_going_back(ground: Ground) -> None:
    """A driver whose clock is years behind scores what is new all the same, and the next one finds nothing to do."""
    plan = ground.plan()
    with (
        mock.patch.object(scored_inputs.datetime, "datetime", _YearsAgo),
        mock.patch.object(scores_commit.time, "time", lambda: 1e9),
    ):
        score(plan)
    ground.assert_undisturbed(plan)
    table = read_table(plan.run.scores)
    score(plan)
    assert read_table(plan.run.scores) == table


def disk_full(ground: Ground) -> None:
    """A task without room ends the run, with the place and what is free there; with room, one more run ends it."""
    plan = ground.plan()
    before = read_table(plan.run.scores)
    with mock.patch.object(tables, "_write_partition", _in_tasks(_fill_disk)):
        try:
            score(plan)
        except Exception as error:
            told = explain_failure(error) or str(error)
        else:
            raise AssertionError("the disk was not full")
    assert "the disk is full: found" in told and "bytes free, expected room for" in told, told
    assert read_table(plan.run.scores) == before
    score(plan)
    ground.assert_undisturbed(plan)


def two_drivers_at_once(ground: Ground) -> None:
    """Two commands started together: each commits or is told that it was overtaken, and no row is there twice."""
    plan = ground.plan()
    command = [MAPRING, "score", plan.config, *plan.overrides]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=600)[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 0], [0, 1]), told
    assert all("another run committed" in said for run, said in zip(runs, told, strict=True) if run.returncode)
    ground.assert_undisturbed(plan)
    score(plan)
    ground.assert_undisturbed(plan)
