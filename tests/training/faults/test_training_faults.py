"""Every row of the table of training's faults, and a rank killed at every point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fault_table import Fault, as_parameters, failures_page, rows_told
from tests.training.faults.ground import Ground
from tests.training.faults.kills import kill_points_recovered, pairs, really_killed
from tests.training.faults.points import POINTS, Point
from tests.training.faults.registry import FAULTS

KILLS = [pytest.param(point, rank, id=f"{point.name}-{rank}") for point, rank in pairs()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults") / "shared"


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("fault", as_parameters(FAULTS))
def test_training_fault(fault: Fault[Ground], shared: Path, tmp_path: Path) -> None:
    fault.check(Ground(shared, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("point", "rank"), KILLS)
def test_killed_rank(point: Point, rank: int, shared: Path, tmp_path: Path) -> None:
    really_killed(Ground(shared, tmp_path), point, rank)


def test_the_page_of_failures_tells_of_every_row_and_every_point() -> None:
    section = failures_page()[1]
    assert sorted(rows_told(section)) == sorted([*(fault.name for fault in FAULTS), "killed_rank"])
    assert re.findall(r"^- `(\w+)`", section, re.MULTILINE) == [point.name for point in POINTS]


def test_a_point_that_is_not_recovered_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_ground: Ground, point: Point, rank: int) -> None:
        assert (point.name, rank) != ("in_the_ring", 1)

    monkeypatch.setattr("tests.training.faults.kills.really_killed", refuse)
    assert kill_points_recovered() == len(KILLS) - 1 >= 20
