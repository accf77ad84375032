"""Wherever a scoring is killed, one more run gives the table of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spark_jobs.scoring_faults.ground import Ground
from tests.spark_jobs.scoring_faults.kills import killed_for_real, killed_in_process
from tests.spark_jobs.scoring_faults.points import DRIVER_POINTS, POINTS, KillPoint

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


# Each is a scoring or two. These are around the commit, where most could be lost; the others are among the long tests.
QUICK = frozenset({"after_write_scores", "before_commit_scores", "after_code_version", "after_commit_scores"})


def _in_process(point: KillPoint) -> object:
    return pytest.param(point, id=point.name, marks=[pytest.mark.slow] * (point.name not in QUICK))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scoring") / "shared"


def test_there_are_at_least_thirty_points_each_with_a_name_of_its_own() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS) >= 30
    assert {point.name for point in DRIVER_POINTS} >= QUICK


@pytest.mark.parametrize("point", [_in_process(point) for point in DRIVER_POINTS])
def test_a_run_that_dies_in_process(point: KillPoint, shared: Path, tmp_path: Path) -> None:
    killed_in_process(Ground(shared, tmp_path), point)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_run_that_is_killed(point: KillPoint, shared: Path, tmp_path: Path) -> None:
    killed_for_real(Ground(shared, tmp_path), point)
