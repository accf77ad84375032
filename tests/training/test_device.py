"""Where a rank computes. There is no GPU here: its availability is faked, and torch's meta device stands in for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from mapring.settings.objective import Objective
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from training.device import open_device
from training.gradients import FlatGradients
from training.objectives import ClassificationObjective
from training.optimizers import make_optimizer
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.tasks.classification import Classification

META = torch.device("meta")


@pytest.fixture(autouse=True)
def unchanged_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    yield
    torch.use_deterministic_algorithms(False)


class HostRing(SingleRing):
    """A rank among others of its host, where each finds the same GPUs."""

    def __init__(self, local_rank: int, local_size: int) -> None:
        self.local_rank, self.local_size = local_rank, local_size


def fake_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> list[torch.device]:
    """CUDA with so many devices; those that are then chosen."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_each_rank_of_a_host_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = fake_gpus(monkeypatch, 2)
    found = [open_device("auto", HostRing(rank, 2)) for rank in (0, 1)]
    assert found == chosen == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("wanted", "gpus"), [("auto", 0), ("cpu", 0), ("cpu", 2)])
def test_the_host_computes_where_there_is_no_gpu_or_none_is_wanted(
    wanted: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = fake_gpus(monkeypatch, gpus)
    assert open_device(wanted, HostRing(0, 2)) == torch.device("cpu")  # type: ignore[arg-type]
    assert not chosen
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("wanted", "gpus"), [("cuda", 0), ("cuda", 1), ("auto", 1)])
def test_too_few_gpus_are_refused_on_all_ranks(wanted: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, gpus)
    with pytest.raises(AgreedError, match=rf"train\.device: found {gpus} CUDA devices for the 2 ranks"):
        open_device(wanted, HostRing(0, 2))  # type: ignore[arg-type]


def _or_of_meta(whole: Callable[[torch.Tensor], Any], instead: Any) -> Callable[[torch.Tensor], Any]:
    return lambda tensor: instead if tensor.is_meta else whole(tensor)


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(label_smoothing=0.1, class_weights="balanced"),
        Objective(r_drop=1.0),
        Objective(mixup=0.5, class_weights="balanced"),
    ],
    ids=["plain", "weights", "r_drop", "mixup"],
)
def test_a_loss_makes_no_tensor_on_the_host(
    objective: Objective, make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device has shapes but no values, and like a GPU refuses tensors of the host beside its own.

    Not with fgm, which switches autocast off: the meta device has none. So loss, backward, gradient buffers and the
    optimizer's state are tried for where they are, not for what they are.
    """
    training, _ = prepare(make_tiny_plan())
    model = training.model.to(META)
    for name, instead in (("__float__", 1.0), ("__bool__", False)):  # of what has no value there
        monkeypatch.setattr(torch.Tensor, name, _or_of_meta(getattr(torch.Tensor, name), instead))
    task = Classification(["bad", "good"], 1, ClassificationObjective(objective).weighing([0.5, 2.0]))
    batch = task.sample_batch(4, 8, 20)
    (piece,) = task.pieces(batch, model, 0, 1000)
    parameters = [item for item in model.parameters() if item.requires_grad]
    gradients = FlatGradients(parameters, 1)
    loss, _ = task.loss(model, piece.on(META))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients.extra[0] += loss.detach()
    assert {bucket.device for bucket in gradients.buckets} == {META}
    optimizer = make_optimizer(model, training.plan.settings.train)
    assert {item.device for state in optimizer.state.values() for item in state.values()} == {META}


def test_the_meta_device_does_refuse_tensors_of_the_host() -> None:
    """Else the test above could not fail."""
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(2, device=META) + torch.from_numpy(np.ones(2, np.float32))
