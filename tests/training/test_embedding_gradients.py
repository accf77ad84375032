"""Gradients of embeddings: the sums of all rows, though only those are sent that some rank touched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics, weights
from tests.training.thread_ring import ThreadRing, note_sent, run_ranks
from training import embedding_gradients
from training.embedding_gradients import adding_by_rows, row_wise_embeddings
from training.gradients import FlatGradients, Wire

ROWS, COLUMNS = 40, 4


def brought(rank: int, touched: Sequence[int]) -> torch.Tensor:
    """What a rank's backward has left: numbers of any size in the rows that it touched."""
    found = torch.zeros(ROWS, COLUMNS)
    chance = torch.Generator().manual_seed(rank)
    for row in touched:
        found[row] = torch.randn(COLUMNS, generator=chance) * 2.0 ** (row - 20)
    return found


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, ROWS - 1), max_size=ROWS), min_size=1, max_size=3))
def test_any_rows_of_any_ranks_are_summed_as_all_would_be(touched: list[set[int]]) -> None:
    def work(ring: ThreadRing) -> tuple[torch.Tensor, float, torch.Tensor, bool]:
        embedding, other = nn.Embedding(ROWS, COLUMNS), nn.Linear(2, 2)
        flat = FlatGradients([*embedding.parameters(), *other.parameters()], 1, [embedding])
        gradient = embedding.weight.grad
        assert gradient is not None
        gradient.copy_(brought(ring.rank, sorted(touched[ring.rank])))
        flat.sum_over(ring, "fp32")
        summed, norm = gradient.clone(), flat.norm()
        flat.scale(0.5)
        halved = gradient.clone()
        flat.zero()
        return summed, norm, halved, bool((gradient == 0).all())

    expected = sum(brought(rank, sorted(rows)) for rank, rows in enumerate(touched))
    assert isinstance(expected, torch.Tensor)
    for summed, norm, halved, is_zero in run_ranks(len(touched), work):
        assert torch.allclose(summed, expected, rtol=1e-6, atol=0)
        assert norm == pytest.approx(float(expected.norm()))
        assert torch.equal(halved, summed / 2)
        assert is_zero


@pytest.mark.parametrize("wire", ["fp32", "fp16"])
@pytest.mark.parametrize(("touched", "sent_rows"), [(5, 6), (19, 20), (20, ROWS)])
def test_what_is_sent_grows_with_the_rows_until_all_are_sent(
    wire: Wire, touched: int, sent_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = note_sent(monkeypatch)

    def work(ring: ThreadRing) -> torch.Tensor:
        embedding = nn.Embedding(ROWS, COLUMNS)
        flat = FlatGradients(list(embedding.parameters()), 2, [embedding])
        assert embedding.weight.grad is not None
        embedding.weight.grad[: touched + ring.rank] = 2.0
        flat.sum_over(ring, wire)
        return embedding.weight.grad

    first, second = run_ranks(2, work)
    assert torch.equal(first, second)
    assert (first[:touched] == 4).all() and (first[touched] == 2).all() and (first[touched + 1 :] == 0).all()
    assert max(sent) == max(sent_rows * COLUMNS, ROWS)  # a number for each of ROWS: which are touched


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 1e-44, -1e-44])
@pytest.mark.parametrize("wire", ["fp32", "fp16"])
def test_what_is_not_finite_or_tiny_is_not_left_out(wire: Wire, odd: float) -> None:
    def work(ring: ThreadRing) -> torch.Tensor:
        embedding = nn.Embedding(ROWS, COLUMNS)
        flat = FlatGradients(list(embedding.parameters()), 1, [embedding])
        assert embedding.weight.grad is not None
        if ring.rank == 1:
            embedding.weight.grad[3, 1] = odd
        flat.sum_over(ring, wire)
        return embedding.weight.grad

    for found in run_ranks(2, work):
        if wire == "fp32":
            assert torch.equal(found[3, 1].nan_to_num(7), torch.tensor(odd).nan_to_num(7))
        else:
            assert not bool(torch.isfinite(found[3]).all()) or abs(odd) < 1


def test_large_embeddings_of_their_own_are_taken_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_gradients, "_LEAST_ELEMENTS", 100)
    own, small, tied, frozen = nn.Embedding(25, 4), nn.Embedding(24, 4), nn.Embedding(30, 4), nn.Embedding(40, 4)
    frozen.weight.requires_grad_(False)
    output = nn.Linear(4, 30)
    output.weight = tied.weight
    weighed = nn.Embedding(30, 4, scale_grad_by_freq=True)
    assert row_wise_embeddings(nn.ModuleList([own, small, tied, frozen, output, weighed])) == [own]


def test_backward_adds_to_the_rows_that_were_looked_up() -> None:
    ids = torch.tensor([[3, 5, 3], [0, 7, 5]])
    gradients = []
    for by_rows in (False, True):
        torch.manual_seed(0)
        embedding = nn.Embedding(ROWS, COLUMNS, padding_idx=0)
        FlatGradients(list(embedding.parameters()), 1, [embedding])
        before = embedding.weight.grad
        with adding_by_rows([embedding] if by_rows else []):
            found = embedding(ids)
        for _ in range(2):
            found.square().sum().backward(retain_graph=True)
        assert embedding.weight.grad is before and before is not None
        assert not embedding.sparse and not before.is_sparse
        gradients.append(before)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [1, 2])
def test_a_training_is_the_same_by_rows(make_tiny_plan: PlanMaker, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for least in (1, 1 << 40):
        monkeypatch.setattr(embedding_gradients, "_LEAST_ELEMENTS", least)
        plan = make_tiny_plan(f"run_dir={make_tiny_plan().run.root}-{least}", "train.dropout=0")
        training, _ = run_ranks(size, partial(fit, plan))[0]
        assert bool(row_wise_embeddings(training.model)) == (least == 1)
        found.append(([line["loss"] for line in metrics(plan)], weights(training)))
    (by_rows, ours), (whole, theirs) = found
    assert by_rows == pytest.approx(whole, rel=1e-4)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
