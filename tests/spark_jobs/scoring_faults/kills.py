"""A scoring killed at a point, and run once more: by an exception that nothing catches, or by kill -9."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spark_jobs.score import score
from tests.fault_table import count_survived
from tests.spark_jobs.faults.ground import faults_done, planted, run_job
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.spark_jobs.scoring_faults.points import POINTS, KillPoint


class Killed(BaseException):
    """Stands for a kill: no `except Exception` catches it."""


def killed_in_process(ground: Ground, point: KillPoint) -> None:
    """The driver's run ends at the point, and the next one ends as if nothing had been."""
    plan = ground.plan(is_first=point.is_first)
    with _deadly(point) as deaths, suppress(Killed):
        score(plan)
    assert deaths == [point.name], "the point was not reached"
    score(plan)
    ground.assert_undisturbed(plan, is_first=point.is_first)


def killed_for_real(ground: Ground, point: KillPoint) -> None:
    """Kill -9 at the point; a killed worker costs an attempt, a killed driver the run."""
    plan = ground.plan(is_first=point.is_first)
    done = run_job(plan, planted(plan, **point.fault), stage="score")
    assert faults_done(plan) == 1, f"the fault was not planted: {done.stderr}"
    survives = point.where == "task" and point.victim == "self"
    assert (done.returncode == 0) == survives, done.stderr
    assert "Traceback" not in done.stderr or survives, done.stderr
    again = run_job(plan, stage="score")
    assert again.returncode == 0, again.stderr
    ground.assert_undisturbed(plan, is_first=point.is_first)


def kill_points_exact(points: Sequence[KillPoint] = POINTS) -> int:
    """Kill real runs at all points; after how many of them one more run gave the table of an undisturbed one."""

    def check(point: KillPoint) -> Callable[[Path, Path], object]:
        return lambda shared, own: killed_for_real(Ground(shared, own), point)

    return count_survived((point.name, check(point)) for point in points)


@contextmanager
def _deadly(point: KillPoint) -> Iterator[list[str]]:
    """The point's function, wherever it was imported to, raises `Killed` once."""
    module, name = point.function.split(":")
    real: Callable[..., Any] = getattr(importlib.import_module(module), name)
    deaths: list[str] = []

    @functools.wraps(real)
    def deadly(*given: Any, **named: Any) -> Any:
        is_meant = not deaths and point.match in str(given[0] if given else "")
        if is_meant and point.when == "before":
            deaths.append(point.name)
            raise Killed
        result = real(*given, **named)
        if is_meant:
            deaths.append(point.name)
            raise Killed
        return result

    homes = [other for other in list(sys.modules.values()) if getattr(other, "__dict__", {}).get(name) is real]
    for home in homes:
        setattr(home, name, deadly)
    try:
        yield deaths
    finally:
        for home in homes:
            setattr(home, name, real)
