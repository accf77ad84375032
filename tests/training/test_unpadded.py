"""Rows without their padding: every token once, fewer cells, dropout in attention."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.bert_like import classifier, loss_of, padded
from tests.training.conftest import PlanMaker
from tests.training.running import fit
from training import unpadded
from training.dropout_masks import FastDropout
from training.unpadded import Groups, choose_unpadded, groups_of


def _mask(lengths: list[int]) -> torch.Tensor:
    """As transformers makes it, bool (B, 1, T, T)."""
    width = max(lengths)
    return (torch.arange(width) < torch.tensor(lengths)[:, None])[:, None, None].expand(-1, 1, width, -1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_groups_hold_every_token_once_and_little_padding(lengths: list[int]) -> None:
    found, longest = groups_of(_mask(lengths)), max(lengths)
    padding = sum(longest - length for length in lengths)
    if found is None:
        assert 2 * padding < longest
        return
    cells = found.cells.tolist()
    tokens = {row * longest + place for row, length in enumerate(lengths) for place in range(length)}
    assert len(set(cells)) == len(cells) and tokens <= set(cells)
    assert sorted(found.order.tolist()) == list(range(len(lengths)))
    assert [cells[start] for start in found.starts.tolist()] == [row * longest for row in found.order.tolist()]
    assert len(cells) == sum(group.rows * group.width for group in found.groups)
    begin = 0
    for group in found.groups:
        own = [lengths[row] for row in found.order[begin : begin + group.rows].tolist()]
        assert max(own) == group.width and 2 * (group.rows * group.width - sum(own)) < group.width
        begin += group.rows
        if group.mask is None:
            assert min(own) == group.width
        else:
            assert group.mask.sum((1, 2, 3)).tolist() == own


def test_masks_of_another_kind_are_left_to_attention() -> None:
    behind = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]]).bool()[:, None, None].expand(-1, 1, 4, -1)  # padding ahead
    causal = torch.ones(4, 4).tril().bool().expand(2, 1, 4, 4)
    assert groups_of(behind) is None and groups_of(causal) is None
    assert groups_of(_mask([8, 0, 3])) is None
    assert groups_of(_mask([8, 8, 8])) is None  # nothing to gain


def test_blocks_compute_tokens_and_hardly_more() -> None:
    model = classifier("bert")
    choose_unpadded(model, padded())
    seen: list[int] = []
    for block in model.bert.encoder.layer:  # type: ignore[union-attr]
        block.intermediate.register_forward_hook(lambda _module, _inputs, output: seen.append(output[..., 0].numel()))
    mask = padded()["attention_mask"]
    model(**padded())
    assert seen == [seen[0]] * 2 and int(mask.sum()) <= seen[0] < 0.75 * mask.numel()


def test_dropout_falls_on_attention_and_repeats() -> None:
    model, rows = classifier("bert", attention_probs_dropout_prob=0.5), padded()
    choose_unpadded(model, rows)
    model.train()

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with FastDropout():
            return model(**rows).logits  # type: ignore[no-any-return]

    assert torch.equal(logits(5), logits(5)) and not torch.equal(logits(5), logits(6))
    model.eval()
    assert torch.equal(logits(5), logits(6))


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    plain = classifier("bert", dropout=0.3)
    model = deepcopy(plain)
    model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    rows = padded()
    for each in (plain, model):
        choose_unpadded(each, rows)
        each.train()
        torch.manual_seed(5)
        loss_of(each, rows).backward()  # type: ignore[no-untyped-call]
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        if one.grad is not None:
            assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


def test_a_training_computes_its_batches_in_groups(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Groups | None] = []

    def noting(mask: torch.Tensor) -> Groups | None:
        found.append(groups_of(mask))
        return found[-1]

    monkeypatch.setattr(unpadded, "groups_of", noting)
    training, _ = fit(make_tiny_plan("train.epochs=1", "train.shuffle_window=16"))
    in_steps = found[-training.total_steps :]
    assert sum(groups is not None for groups in in_steps) > 0.8 * len(in_steps)
