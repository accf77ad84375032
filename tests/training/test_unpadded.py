"""Rows without their padding: the same logits and gradients, fewer cells, and other models as they were."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.training.bert_like import assert_same_logits_and_gradients, classifier, is_chosen, loss_of, padded
from tests.training.conftest import PlanMaker
from training.bert_like import restore_forwards
from training.dropout_masks import FastDropout
from training.first_token import choose_first_token
from training.methods import apply_method
from training.unpadded import choose_unpadded, groups_of


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


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "xlm-roberta", "camembert"])
@pytest.mark.parametrize("first_token", [False, True])
def test_logits_and_gradients_are_those_with_padding(architecture: str, first_token: bool) -> None:
    plain = classifier(architecture)
    model = deepcopy(plain)
    choose_unpadded(model, padded())
    if first_token:
        choose_first_token(model, padded())
    assert is_chosen(model)
    assert_same_logits_and_gradients(model, plain)


def test_blocks_compute_tokens_and_hardly_more() -> None:
    model = classifier("bert")
    choose_unpadded(model, padded())
    seen: list[int] = []
    for block in model.bert.encoder.layer:  # type: ignore[union-attr]
        block.intermediate.register_forward_hook(lambda _module, _inputs, output: seen.append(output[..., 0].numel()))
    mask = padded()["attention_mask"]
    model(**padded())
    assert seen == [seen[0]] * 2 and int(mask.sum()) <= seen[0] < 0.75 * mask.numel()


def test_dropout_falls_on_attention_by_the_fast_generator_and_repeats() -> None:
    model, rows = classifier("bert", dropout=0.5), padded()
    choose_unpadded(model, rows)
    model.train()

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with FastDropout():
            return model(**rows).logits  # type: ignore[no-any-return]

    assert torch.equal(logits(5), logits(5)) and not torch.equal(logits(5), logits(6))


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


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("roberta-prelayernorm", {}),
        ("bert", {"attn_implementation": "eager"}),
        ("distilbert", {}),
        ("modernbert", {"cls_token_id": 1, "sep_token_id": 2, "classifier_pooling": "mean"}),
        ("gpt2", {}),
    ],
)
def test_other_models_answer_as_before(architecture: str, changes: dict[str, Any]) -> None:
    model = classifier(architecture, **changes)
    model.eval()
    before = model(**padded()).logits
    choose_unpadded(model, padded())
    assert not is_chosen(model) and torch.equal(model(**padded()).logits, before)


def test_a_decoder_whose_tokens_see_those_before_them_only_answers_as_before() -> None:
    model = classifier("bert", is_decoder=True)
    model.eval()
    before = model(**padded()).logits
    choose_unpadded(model, padded())
    assert torch.equal(model(**padded()).logits, before)


@pytest.mark.parametrize("method", ["lora", "prefix", "adapter"])
def test_methods_have_the_logits_of_padded_rows(method: str, make_tiny_plan: PlanMaker) -> None:
    settings = make_tiny_plan(f"train.method={method}", shards=False).settings.train.method
    model = apply_method(classifier("bert"), settings, task="classify", head=("classifier",), total_steps=4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)  # what starts as nothing would hide a difference
    model.eval()
    before = model(**padded()).logits
    choose_unpadded(model, padded())
    torch.testing.assert_close(model(**padded()).logits, before, rtol=1e-4, atol=1e-5)


def test_padding_again() -> None:
    model = classifier("bert")
    model.eval()
    before = model(**padded()).logits
    choose_unpadded(model, padded())
    choose_first_token(model, padded())
    restore_forwards(model)
    assert not is_chosen(model) and torch.equal(model(**padded()).logits, before)
