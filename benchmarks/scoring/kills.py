"""Points of a scoring at which a process may be killed, with every row in the table exactly once afterwards."""

from __future__ import annotations

from importlib import import_module

from benchmarks.results import Figure, figure

_REGISTRY = "tests.spark_jobs.scoring_faults.registry"


def kill_figures() -> list[Figure]:
    """Run the whole table of scoring's faults, real kills among them."""
    return [figure("kill_points_exact", import_module(_REGISTRY).kill_points_exact(), 30, "points")]
