"""The benchmark of backends on a tiny run directory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.backends import measure
from mapring.settings.backends import BACKENDS
from tests.spark_jobs.backends.tiny_run import make_tiny_run


def test_every_backend_is_measured_against_torch(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    found = list(measure(run.model, run.shards, 100))
    assert tuple(measured.name for measured in found) == BACKENDS
    assert found[0].figures.agreement == 1 and found[0].figures.largest_difference == 0
    for measured in found:
        assert measured.of_wall_time > 0 and measured.of_cpu_time > 0
        assert (
            measured.figures.rows == 100 and "of 100 validation rows have fp32's label" in measured.figures.in_words()
        )
