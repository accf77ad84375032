"""Points of a training at which a rank may be killed with nothing lost."""

from __future__ import annotations

from benchmarks.results import Figure, figure
from tests.training.faults.kills import kill_points_recovered


def training_fault_figures() -> list[Figure]:
    """Kill a rank of two, really, at every point from the ring's start to the model's record."""
    return [figure("kill_points_recovered", kill_points_recovered(), 20, "points")]
