"""A task that Spark gave a GPU computes there; the addresses are those of Spark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spark_jobs import task_device as module
from spark_jobs.task_device import task_device


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "cpu"),
        ({"gpu": SimpleNamespace(addresses=["3", "4"])}, "cuda:3"),
        ({"gpu": SimpleNamespace(addresses=[])}, "cpu"),
        ({"fpga": SimpleNamespace(addresses=["0"])}, "cpu"),
    ],
)
def test_the_first_gpu_of_the_task_is_taken(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, Any], expected: str
) -> None:
    context = SimpleNamespace(resources=lambda: resources)
    monkeypatch.setattr(module, "TaskContext", SimpleNamespace(get=lambda: context))
    assert task_device() == expected


def test_outside_of_a_task_it_is_the_cpu() -> None:
    assert task_device() == "cpu"
