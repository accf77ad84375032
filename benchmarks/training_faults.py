"""Points of a training at which a rank may be killed, and changes of its ranks, with nothing lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.results import Figure, figure
from tests.training.elastic_changes import OVERRIDES, elastic_changes_survived
from tests.training.faults.kills import kill_points_recovered
from tests.training.shards import tiny_model
from tests.training.tiny_plan import BAD, COMMON, GOOD, publish_shards, tiny_plan


def training_fault_figures() -> list[Figure]:
    """Kill a rank of two, really, at every point from the ring's start to the model's record."""
    return [figure("kill_points_recovered", kill_points_recovered(), 20, "points")]


def elastic_figures() -> list[Figure]:
    """Let ranks join, die and leave a running training; 0 where a row was trained on twice or never."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = tiny_model(folder / "model", [*GOOD, *BAD, *COMMON])
        plan = tiny_plan(folder, model, *OVERRIDES)
        publish_shards(plan, model)
        return [figure("elastic_changes_survived", elastic_changes_survived(plan, folder), 4, "changes")]
