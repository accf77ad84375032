"""Faults that preprocessing survives, and layouts of one corpus that give the same bytes."""

from __future__ import annotations

from benchmarks.results import Figure, figure
from tests.spark_jobs.faults.layouts import identical_shard_layouts
from tests.spark_jobs.faults.registry import fault_points_survived


def fault_figures() -> list[Figure]:
    """Run the whole table of faults, real kills and full disks among them."""
    return [
        figure("fault_points_survived", fault_points_survived(), 15, "faults"),
        figure("identical_shard_layouts", identical_shard_layouts(), 6, "layouts"),
    ]
