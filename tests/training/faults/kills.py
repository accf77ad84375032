"""kill -9 of a rank at every point, and of ten ranks in one training: all that was done counts once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from mapring.plan import Plan
from tests.fault_table import count_survived
from tests.training.faults.ground import (
    END_SECONDS,
    Ended,
    Ground,
    assert_as_undisturbed,
    finish,
    in_process,
    ranks_of,
    start,
)
from tests.training.faults.points import POINTS, Point, planted
from training.metrics import MetricsLog

LONG = ("train.epochs=60", "train.checkpoint_every_steps=10")  # 420 steps
_SEED = 5
_MOMENTS = ("before_forward", "after_backward", "inside_allreduce", "after_allreduce", "after_the_optimizer_step")


class Killed(BaseException):
    """The rank is dead, as far as one in this process can be; a BaseException, so that nobody handles it."""


def killed_in_process(ground: Ground) -> None:
    """One rank that dies at every point; one more start ends as if nothing had been."""
    for name, points in _trainings():
        own = ground.own / name
        own.mkdir()
        plan = Ground(ground.shared, own).plan()
        for point in points:
            die_in_process(plan, point)
        again = in_process(plan)
        assert again.code == 0, f"{name}: {again.said}"
        assert_as_undisturbed(plan, ground.undisturbed())


def _trainings() -> Iterator[tuple[str, list[Point]]]:
    """The points at which each training dies: one at all before the first step, one at all after the last."""
    names = [point.name for point in POINTS]
    first, last = names.index("after_the_first_read"), names.index("after_the_last_step")
    yield "start", POINTS[:first]
    yield from ((point.name, [point]) for point in POINTS[first:last])
    yield "end", POINTS[last:]


def die_in_process(plan: Plan, point: Point) -> None:
    """Train in this process up to a point, and no further."""

    def die() -> None:
        raise Killed

    here = point._replace(when="before") if point.when == "during" else point  # a thread cannot raise in another
    try:
        with mock.patch.object(MetricsLog, "close", lambda _log: None):  # the dead close nothing
            ended = in_process(plan, planted(here, die))
    except Killed:
        return
    raise AssertionError(f"{point.name} was not reached: {ended.said}")


def really_killed(ground: Ground, point: Point, rank: int) -> None:
    """A rank of two is killed there: the other ends within a minute, and one more start as if nothing had been."""
    plan = ground.plan()
    kill(ground, plan, point.name, rank)
    again = finish(start(plan))
    assert again.code == 0, again.said
    assert_as_undisturbed(plan, ground.undisturbed(ranks=2))


def kill(ground: Ground, plan: Plan, point: str, rank: int) -> Ended:
    """Start two ranks of which one kills itself at a point, and wait for the end of all."""
    mark = ground.own / f"killed-{time.monotonic_ns()}"
    ended = finish(start(plan, module=("tests.training.faults.killed_rank", point, str(rank), str(mark))))
    assert mark.exists(), f"{point} was not reached: {ended.said}"
    seconds = time.time() - mark.stat().st_mtime
    assert ended.code != 0, ended.said
    assert seconds < END_SECONDS, f"the job ended {seconds:.0f} s after the kill: {ended.said}"
    assert not ranks_of(plan), "a rank was left running"
    return ended


def ten_kills(ground: Ground) -> None:
    """Ten kills of either rank, one after the other in one training: its loss curve is that of a run in peace."""
    killed_ten_times(ground)


def killed_ten_times(ground: Ground) -> tuple[Plan, Plan, list[int]]:
    """Kill a training ten times; it, the same in peace, and from which steps it went on. They are proved equal."""
    resumed = []
    plan, chance = ground.plan(*LONG), random.Random(_SEED)
    for _ in range(10):
        kill(ground, plan, f"{chance.choice(_MOMENTS)}@{chance.randint(5, 28)}", chance.randrange(2))
        newest = sorted(Path(plan.training_directory, "checkpoints").glob("step-*/published.json"))
        resumed.append(int(newest[-1].parent.name.removeprefix("step-")) if newest else 0)
    last = finish(start(plan))
    assert last.code == 0, last.said
    assert "going on from the checkpoint of step" in last.said
    undisturbed = ground.undisturbed(*LONG, ranks=2)
    assert_as_undisturbed(plan, undisturbed)
    return plan, undisturbed, resumed


def pairs() -> Iterator[tuple[Point, int]]:
    """Every point with each rank that is really killed there."""
    for point in POINTS:
        for rank in point.ranks:
            yield point, rank


def kill_points_recovered() -> int:
    """Kill a rank at every point, and count the points after which one more start ended as if nothing had been."""

    def check(point: Point, rank: int) -> Callable[[Path, Path], object]:
        return lambda shared, own: really_killed(Ground(shared, own), point, rank)

    return count_survived((f"{point.name}-{rank}", check(point, rank)) for point, rank in pairs())
