"""One corpus in many layouts: partitions, a cluster, and tasks that are killed; the bytes must be the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mapring.contract.verify import verify
from mapring.progress import say
from tests.spark_jobs.faults.ground import CLUSTER, Ground, faults_done, planted, published_bytes, run_job

LAYOUTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "1 partition": (("spark.partitions=1", "spark.master=local[1]"), {}),
    "2 partitions": (("spark.partitions=2",), {}),
    "7 partitions": (("spark.partitions=7", "spark.split_bytes=1024"), {}),
    "64 partitions": (("spark.partitions=64",), {}),
    "local-cluster": ((CLUSTER,), {}),
    "tasks killed at random": (
        ("spark.partitions=5",),
        {
            "point": "mapring.contract.publish:write_file",
            "when": "after",
            "share": 0.4,
            "most": 1000,
            "first_attempts": 2,
        },
    ),
}


def identical_shard_layouts(folder: Path | None = None) -> int:
    """Publish one corpus in every layout; returns how many of them have the bytes that most of them have.

    A layout that fails, does not verify, or where no task was killed though tasks were to be, is none of them.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return identical_shard_layouts(Path(temporary))
    found: list[dict[str, str]] = []
    for name, (overrides, fault) in LAYOUTS.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        plan = Ground(folder / "corpus", own).plan(*overrides)
        done = run_job(plan, planted(plan, **fault))
        killed = faults_done(plan) if fault else 0
        if done.returncode != 0 or verify(plan.shards_directory) or (fault and not killed):
            say("layouts", f"{name}: exit code {done.returncode}, {killed} tasks killed; {done.stderr[-2000:]}")
            continue
        say("layouts", f"{name}: published" + f", {killed} tasks killed" * bool(killed))
        found.append(published_bytes(plan))
    return max((found.count(bytes_of_one) for bytes_of_one in found), default=0)
