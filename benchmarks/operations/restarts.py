"""Points at which a scheduler or its scoring is killed, after which a new one loses nothing and does nothing twice."""

from __future__ import annotations

from benchmarks.results import Figure, figure
from tests.pipelines.scheduling.restarts import restart_points_survived


def restart_figures() -> list[Figure]:
    """Kill real schedulers and scorings at all points."""
    return [figure("restart_points_survived", restart_points_survived(), 15, "points")]
