"""Wherever a scheduler is killed, the next one loses no time and does nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.scheduling.restarts import OF_SCHEDULERS, OF_SCORINGS, killed_and_restarted
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.spark_jobs.scoring_faults.points import KillPoint

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
POINTS = [*OF_SCHEDULERS, *OF_SCORINGS]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restarts") / "shared"


def test_there_are_at_least_fifteen_points_each_with_a_name_of_its_own() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_scheduler_or_scoring_that_is_killed(point: KillPoint, shared: Path, tmp_path: Path) -> None:
    killed_and_restarted(Ground(shared, tmp_path), point)
