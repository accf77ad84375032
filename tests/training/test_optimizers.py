"""Optimizers and schedules: torch's own steps, resume bit for bit, and rates by their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mapring.settings.train import ScheduleName, Train
from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics, prepare, resumed_as_straight
from training.optimizers import make_optimizer, optimizer_state
from training.schedule import learning_rate, peak_rate

OPTIMIZERS = ["adamw", "sgd", "adafactor"]


def settings_of(**values: object) -> Train:
    return Train.model_validate({"model": "x", **values})


@pytest.mark.parametrize("name", [*OPTIMIZERS, "sgd without momentum"])
def test_state_that_exists_from_the_start_leads_to_torch_s_own_steps(name: str) -> None:
    torch.manual_seed(0)
    model, other = (nn.Sequential(nn.Conv1d(3, 4, 2), nn.Linear(5, 2)) for _ in range(2))
    other.load_state_dict(model.state_dict())
    momentum = {"momentum": 0.0} if "without" in name else {}
    optimizer = make_optimizer(model, settings_of(optimizer=name.partition(" ")[0], weight_decay=0.1, **momentum))
    before = optimizer_state(model, optimizer)
    pairs = list(zip(model.parameters(), other.parameters(), strict=True))
    groups = [
        {"params": [own for _, own in pairs if own.ndim >= 2], "weight_decay": 0.1},
        {"params": [own for _, own in pairs if own.ndim < 2], "weight_decay": 0.0},
    ]
    kinds = {
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.01, fused=True),
        "sgd": lambda: torch.optim.SGD(groups, lr=0.01, momentum=0.9),
        "sgd without momentum": lambda: torch.optim.SGD(groups, lr=0.01),
        "adafactor": lambda: torch.optim.Adafactor(groups, lr=0.01),
    }
    reference = kinds[name]()
    for _ in range(3):
        for own, twin in pairs:
            own.grad = torch.randn_like(own)
            twin.grad = own.grad.clone()
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()
        reference.step()
    assert all(torch.equal(own, twin) for own, twin in pairs)
    after = optimizer_state(model, optimizer)
    assert before.keys() == after.keys()
    assert all(after[key] is tensor for key, tensor in before.items())  # so a copy into them is a load
    assert bool(after) == ("without" not in name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_training_is_bit_for_bit_the_straight_one(make_tiny_plan: PlanMaker, name: str) -> None:
    words = (f"train.optimizer={name}", "train.schedule=cosine", "train.scale_learning_rate=square_root")
    _, plan = resumed_as_straight(make_tiny_plan, *words)
    peak = max(line["learning_rate"] for line in metrics(plan))
    assert peak == pytest.approx(5e-3 * math.sqrt(16 / 32))


def test_adafactor_learns(make_tiny_plan: PlanMaker) -> None:
    """As AdamW does elsewhere; SGD needs more steps than a test has on a transformer with random weights."""
    plan = make_tiny_plan("train.optimizer=adafactor", "train.learning_rate=0.05", "train.epochs=6")
    fit(plan)
    losses = [line["loss"] for line in metrics(plan)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_schedules_by_their_formulas() -> None:
    def rates(schedule: ScheduleName) -> list[float]:
        return [learning_rate(step, 20, 1.0, 0.2, schedule) for step in range(20)]

    for schedule in ("linear", "cosine", "constant"):
        assert rates(schedule)[:4] == [0.25, 0.5, 0.75, 1.0]  # type: ignore[arg-type]
        assert rates(schedule)[4] == 1.0  # type: ignore[arg-type]
    assert rates("linear")[4:] == [(20 - step) / 16 for step in range(4, 20)]
    assert rates("constant")[4:] == [1.0] * 16
    assert rates("cosine")[12] == pytest.approx(0.5)
    assert rates("cosine")[4:] == sorted(rates("cosine")[4:], reverse=True)
    assert 0 < rates("cosine")[-1] < 0.02


def test_rates_scale_with_the_global_batch() -> None:
    found = [
        peak_rate(settings_of(learning_rate=1e-3, global_batch=128, scale_learning_rate=name))
        for name in ("none", "linear", "square_root")
    ]
    assert found == [1e-3, 4e-3, 2e-3]


def test_adafactor_keeps_little(make_tiny_plan: PlanMaker) -> None:
    sizes = []
    for name in OPTIMIZERS:
        training, _ = prepare(make_tiny_plan(f"train.optimizer={name}"))
        sizes.append(sum(item.numel() for item in optimizer_state(training.model, training.optimizer).values()))
    assert sizes[2] < sizes[1] / 4 < sizes[0] / 4
