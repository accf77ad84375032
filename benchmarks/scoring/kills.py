"""Points of a scoring at which a process is killed, after which one more run gives the table of an undisturbed one."""

from __future__ import annotations

from benchmarks.results import Figure, figure
from tests.spark_jobs.scoring_faults.kills import kill_points_exact


def kill_figures() -> list[Figure]:
    """Kill real runs at all points."""
    return [figure("kill_points_exact", kill_points_exact(), 30, "points")]
