"""Run a tiny plan's training in this process, on one rank or on rings of threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mapring.plan import Plan
from training import preparation
from training.checkpoint import Cursor
from training.loop import StoppedError, StopRequest, Training, run_training
from training.model import state_tensors
from training.ring import Ring
from training.ring.single import SingleRing


class NoStop(StopRequest):
    """Never asked to stop, and no signal handler: tests run in threads, too."""

    def __init__(self, after_step: int | None = None) -> None:
        self.after_step = after_step
        self.asked = 0

    @property
    def received(self) -> bool:  # type: ignore[override]
        self.asked += 1
        return self.after_step is not None and self.asked >= self.after_step

    def end_at_once(self) -> None:
        """There was no handler."""


def prepare(plan: Plan, ring: Ring | None = None) -> tuple[Training, Cursor]:
    return preparation.prepare(plan, ring or SingleRing())


def fit(plan: Plan, ring: Ring | None = None, stop: StopRequest | None = None) -> tuple[Training, Cursor]:
    training, cursor = prepare(plan, ring)
    return training, run_training(training, cursor, stop or NoStop())


def resumed_as_straight(make_plan: Callable[..., Plan], *words: str, after_step: int = 7) -> tuple[Training, Plan]:
    """Train a plan straight and once more with a stop; both end with the same weights and moments, to the bit."""
    straight_plan = make_plan(*words, f"run_dir={make_plan(*words).run.root}-straight")
    straight, _ = fit(straight_plan)
    plan = make_plan(*words)
    with pytest.raises(StoppedError):
        fit(plan, stop=NoStop(after_step=after_step))
    resumed, end = fit(plan)
    assert end.step == straight.total_steps > after_step
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    assert moments(straight) and all(map(torch.equal, moments(straight), moments(resumed)))
    return resumed, plan


def weights(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state_tensors(training.model).items()}


def moments(training: Training) -> list[torch.Tensor]:
    return [tensor.clone() for state in training.optimizer.state.values() for tensor in state.values()]


def metrics(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(plan.training_directory, "metrics.jsonl").read_text().splitlines()]
