"""Gradients over the wire: summed exactly in fp32, and in fp16 to 11 bits, however large or small they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics
from tests.training.thread_ring import ThreadRing, note_sent, run_ranks
from training import gradients
from training.gradients import BUCKET_ELEMENTS, FlatGradients, Wire


def summed(values: torch.Tensor, wire: Wire, size: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Gradients and extra numbers of each rank after the sum; rank r brings (r + 1) times the values, and 5000."""

    def work(ring: ThreadRing) -> tuple[torch.Tensor, torch.Tensor]:
        parameter = nn.Parameter(torch.zeros_like(values))
        flat = FlatGradients([parameter], extra=2)
        assert parameter.grad is not None
        parameter.grad.copy_(values * (ring.rank + 1))
        flat.extra[0] = 5001
        flat.sum_over(ring, wire)
        return parameter.grad.clone(), flat.extra.clone()

    return run_ranks(size, work)


@given(st.floats(-110, 110), st.integers(0, 1000))
def test_fp16_keeps_11_bits_of_gradients_of_any_size(exponent: float, seed: int) -> None:
    values = torch.randn(64, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    (first, extra), (second, _) = summed(values, "fp16")
    assert torch.equal(first, second) and extra[0] == 10_002
    exact = values.double() * 3
    bound = exact.abs() * 2.0**-10 + exact.abs().max() * 2.0**-38
    assert bool(((first.double() - exact).abs() <= bound).all())


def test_fp32_is_exact_and_zeros_stay() -> None:
    values = torch.tensor([1.0, -(2.0**30), 3e38 / 4])
    assert torch.equal(summed(values, "fp32")[0][0], values * 3)
    assert torch.equal(summed(torch.zeros(3), "fp16")[0][0], torch.zeros(3))


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(odd: float) -> None:
    (found, _), _ = summed(torch.tensor([1.0, odd]), "fp16")
    assert not bool(torch.isfinite(found).all())


def test_buckets_cover_all_parameters_in_order() -> None:
    sizes = [BUCKET_ELEMENTS, 5, 7]
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    flat = FlatGradients(parameters, extra=1)
    assert [len(bucket) for bucket in flat.buckets] == [BUCKET_ELEMENTS, 5 + 7 + 1]


@pytest.mark.parametrize("wire", ["fp32", "fp16"])
def test_a_large_gradient_travels_in_parts_and_arrives_whole(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "_PART_ELEMENTS", 8)
    sent = note_sent(monkeypatch)
    values = torch.arange(100.0)
    assert torch.equal(summed(values, wire)[0][0], values * 3)
    assert max(sent) == 2 * 8 * (2 if wire == "fp16" else 1)  # as many bytes for each of two ranks


def test_a_training_over_fp16_ends_near_one_over_fp32(make_tiny_plan: PlanMaker) -> None:
    losses = {}
    for wire in ("fp32", "fp16"):
        plan = make_tiny_plan(f"train.wire={wire}")
        run_ranks(2, lambda ring, plan=plan: fit(plan, ring))
        losses[wire] = [line["loss"] for line in metrics(plan)]
    assert losses["fp16"] == pytest.approx(losses["fp32"], abs=0.02)
    assert losses["fp16"] != losses["fp32"]
