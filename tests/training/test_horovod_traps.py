"""What Horovod's Python layer does otherwise than one would think, and that none of it reaches a training.

- Its DistributedOptimizer has a `zero_grad()` of its own, drops state when it wraps, sums over
  `backward_passes_per_step`, averages over ranks, and wants clipping and scaling between two calls of its own;
  `broadcast_optimizer_state` takes a step where there is no state; Adasum does not run on Gloo; `join()` divides by
  ranks that have left: only its plain collectives are used.
- It knows no bf16: what travels is fp32, or fp16 that was scaled.
- A parameter without a gradient gets zeros, and AdamW decays it: such parameters are frozen.
- Stalls are waited for without end: the shutdown is on.

That a mean over unequal parts is exact, and an empty part takes part, is in test_training.py and test_evaluate.py.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

import training
from mapring.settings.ring import Ring as RingSettings
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, moments, prepare, weights
from tests.training.thread_ring import ThreadRing, run_ranks
from training import preparation, step
from training.checkpoint import share_state
from training.loop import run_training
from training.model import BuiltModel

_COLLECTIVES = {"allreduce_async_", "broadcast_async_", "broadcast_object", "allgather_object", "barrier"}
_OTHERS = {
    "init",
    "shutdown",
    "rank",
    "size",
    "local_rank",
    "local_size",
    "mpi_enabled",
    "nccl_built",
    "synchronize",
    "Sum",
}


def test_nothing_but_plain_collectives_is_used() -> None:
    source = Path(training.__file__).parent / "ring" / "horovod_ring.py"
    used = {
        node.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hvd"
    }
    assert used == _COLLECTIVES | _OTHERS


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_sharing_state_takes_no_step(make_tiny_plan: PlanMaker, name: str) -> None:
    """Rank 1 begins with other weights, and both with an optimizer that has taken no step."""
    plan = make_tiny_plan(f"train.optimizer={name}", "train.weight_decay=0.5")

    def work(ring: ThreadRing) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[torch.Tensor]]:
        started, _ = prepare(plan, ring)
        before = weights(started)
        if ring.rank == 1:
            for parameter in started.model.parameters():
                parameter.data.add_(1.0)
        share_state(ring, started.model, started.optimizer)
        return before, weights(started), moments(started)

    ranks = run_ranks(2, work)
    of_rank_0 = ranks[0][0]
    for _, after, states in ranks:
        assert all(torch.equal(of_rank_0[key], after[key]) for key in of_rank_0)
        assert not any(state.any() for state in states)


def test_a_parameter_without_a_gradient_does_not_decay(make_tiny_plan: PlanMaker) -> None:
    build = preparation.build_model

    def with_an_unused_layer(*arguments: Any, **keywords: Any) -> BuiltModel:
        built = build(*arguments, **keywords)
        built.model.unused = nn.Linear(3, 3)
        return built

    with mock.patch.object(preparation, "build_model", with_an_unused_layer):
        started, cursor = prepare(make_tiny_plan("train.weight_decay=0.5"))
    before = weights(started)
    run_training(started, cursor, NoStop())
    after = weights(started)
    assert torch.equal(before["unused.weight"], after["unused.weight"])
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


@pytest.mark.parametrize(("wire", "allowed"), [("fp32", {torch.float32}), ("fp16", {torch.float32, torch.float16})])
def test_gradients_of_bf16_arithmetic_travel_as_what_horovod_knows(
    make_tiny_plan: PlanMaker, wire: str, allowed: set[torch.dtype]
) -> None:
    plan, sent = make_tiny_plan("train.precision=bf16", f"train.wire={wire}"), set()

    class Recorded(ThreadRing):
        def allreduce_sum(self, tensors: Any) -> None:
            sent.update(tensor.dtype for tensor in tensors)
            super().allreduce_sum(tensors)

    def work(ring: ThreadRing) -> None:
        ring.__class__ = Recorded
        fit(plan, ring)

    run_ranks(2, work)
    assert sent - {torch.int64} == allowed


def test_accumulated_pieces_are_divided_once(make_tiny_plan: PlanMaker) -> None:
    """A batch in pieces of one or two rows gives the step that it gives as a whole."""
    plan = make_tiny_plan("train.epochs=1")
    found = []
    for tokens in (step.MICRO_BATCH_TOKENS, 40):
        with mock.patch.object(step, "MICRO_BATCH_TOKENS", tokens):
            started, _ = prepare(plan)
            for module in started.model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            result = started.stepper.step(3, next(iter(started.reader.epoch(0, 0))))
            found.append((result.loss, result.gradient_norm, weights(started)))
    (loss, norm, whole), (other_loss, other_norm, pieces) = found
    assert loss == pytest.approx(other_loss, rel=1e-6) and norm == pytest.approx(other_norm, rel=1e-5)
    assert all(torch.allclose(whole[key], pieces[key], atol=1e-5) for key in whole)


def test_a_stall_ends_the_job_unless_the_user_has_said_otherwise() -> None:
    horovod_ring = pytest.importorskip("training.ring.horovod_ring")
    with mock.patch.dict(os.environ, {"HOROVOD_CYCLE_TIME": "7"}):
        os.environ.pop("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", None)
        horovod_ring._set_environment(RingSettings(stall_shutdown_seconds=45))
        assert os.environ["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"] == "45"
        assert os.environ["HOROVOD_CYCLE_TIME"] == "7"


@pytest.mark.parametrize(("launched_by", "pause"), [("OMPI_COMM_WORLD_RANK", "3"), ("HOROVOD_RANK", "10")])
def test_the_pause_between_rounds_is_the_launcher_s_unless_it_is_set(launched_by: str, pause: str) -> None:
    horovod_ring = pytest.importorskip("training.ring.horovod_ring")
    for settings, expected in ((RingSettings(), pause), (RingSettings(cycle_time_ms=5.5), "5.5")):
        with mock.patch.dict(os.environ, {launched_by: "0"}):
            os.environ.pop("HOROVOD_CYCLE_TIME", None)
            horovod_ring._set_environment(settings)
            assert os.environ["HOROVOD_CYCLE_TIME"] == expected
