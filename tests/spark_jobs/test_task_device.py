"""A task that Spark gave a GPU computes there; the addresses are those of Spark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spark_jobs import decoder, task_predictor
from spark_jobs import task_device as module
from spark_jobs.task_device import say_unused, task_device


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


@pytest.mark.parametrize(("task", "expected"), [("embed", 1), ("clm", 1), ("classify", 0)])
def test_a_gpu_that_a_task_s_model_does_not_use_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], task: str, expected: int
) -> None:
    say_unused.cache_clear()
    monkeypatch.setattr(task_predictor, "task_device", lambda: "cuda:3")
    monkeypatch.setattr(task_predictor, "load_predictor", lambda *_: SimpleNamespace(task=task))
    for _ in range(2):
        task_predictor.load_task_predictor("m", 64)
    told = f"models of task {task} compute on the CPU: the GPU cuda:3 that Spark gives this task is not used"
    assert capfd.readouterr().err.count(told) == expected


def test_a_gpu_that_drafts_do_not_use_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    say_unused.cache_clear()
    monkeypatch.setattr(decoder, "Decoder", lambda *_: None)
    for device in ("cpu", "cuda:0"):
        decoder._load_decoder.cache_clear()
        monkeypatch.setattr(decoder, "task_device", lambda device=device: device)
        decoder.load_task_decoder("m", "1" * 16, 64)
    decoder._load_decoder.cache_clear()
    assert capfd.readouterr().err.count("decoders that write drafts compute on the CPU: the GPU cuda:0") == 1
