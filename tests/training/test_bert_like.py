"""Other ways to compute a BERT-like classifier: the same logits and gradients, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.bert_like import classifier, is_chosen, loss_of, padded
from tests.training.conftest import PlanMaker
from training.bert_like import encoder_of, replace_forwards, restore_forwards
from training.first_token import choose_first_token
from training.methods import apply_method
from training.unpadded import choose_unpadded

Choice = Callable[[nn.Module, Mapping[str, torch.Tensor]], None]


def choose_both(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    """As a training of a classifier does it."""
    choose_unpadded(model, inputs)
    choose_first_token(model, inputs)


of_each_choice = pytest.mark.parametrize("choose", [choose_first_token, choose_unpadded, choose_both])


@of_each_choice
@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "xlm-roberta", "camembert"])
def test_logits_and_gradients_are_those_of_all_cells(architecture: str, choose: Choice) -> None:
    plain = classifier(architecture)
    model = deepcopy(plain)
    choose(model, padded())
    assert is_chosen(model)
    for each in (plain, model):
        each.train()
        loss_of(each, padded()).backward()  # type: ignore[no-untyped-call]
    expected = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        other = expected[name].grad
        assert (parameter.grad is None) == (other is None)
        if other is not None and parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, other, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model(**padded()).logits, plain(**padded()).logits)


@of_each_choice
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("roberta-prelayernorm", {}),  # a norm ahead of attention
        ("bert", {"attn_implementation": "eager"}),  # masks are added
        ("distilbert", {}),
        ("modernbert", {"cls_token_id": 1, "sep_token_id": 2, "classifier_pooling": "mean"}),
        ("gpt2", {}),
    ],
)
def test_other_models_stay_as_they_are(architecture: str, changes: dict[str, Any], choose: Choice) -> None:
    model = classifier(architecture, **changes)
    choose(model, padded())
    assert not is_chosen(model)


@of_each_choice
def test_a_decoder_whose_tokens_see_those_before_them_only_answers_as_before(choose: Choice) -> None:
    model = classifier("bert", is_decoder=True)
    before = model(**padded()).logits
    choose(model, padded())
    torch.testing.assert_close(model(**padded()).logits, before)


@of_each_choice
@pytest.mark.parametrize("width", [12, 11, 2])  # of the row that both ways are tried on
def test_a_head_that_reads_other_cells_is_found_out(width: int, choose: Choice) -> None:
    class MeanHead(nn.Module):
        """Roberta's head, over the mean of all cells, padding included."""

        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, features: torch.Tensor, **_others: Any) -> torch.Tensor:
            """Logits (B, C) of hidden states (B, T, H)."""
            found: torch.Tensor = self.linear(features.mean(1))
            return found

    model = classifier("roberta")
    model.classifier = MeanHead(nn.Linear(32, 2))
    choose(model, {name: tensor[:, :width] for name, tensor in padded().items()})
    assert not is_chosen(model)


@of_each_choice
def test_all_cells_again(choose: Choice) -> None:
    model = classifier("bert")
    model.eval()
    before = model(**padded()).logits
    choose(model, padded())
    assert is_chosen(model)
    restore_forwards(model)
    assert not is_chosen(model) and torch.equal(model(**padded()).logits, before)


def test_what_fails_is_taken_back() -> None:
    def failing(_module: nn.Module, *_arguments: Any, **_named: Any) -> torch.Tensor:
        raise RuntimeError("a shape that this does not take")

    model = classifier("bert")
    encoder = encoder_of(model)
    assert encoder is not None
    replace_forwards(model, {encoder: failing}, padded())
    assert not is_chosen(model)


@of_each_choice
@pytest.mark.parametrize("method", ["lora", "prefix", "adapter"])
def test_methods_have_the_logits_of_all_cells(method: str, choose: Choice, make_tiny_plan: PlanMaker) -> None:
    settings = make_tiny_plan(f"train.method={method}", shards=False).settings.train.method
    model = apply_method(classifier("bert"), settings, head=("classifier",), total_steps=4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)  # what starts as nothing would hide a difference
    model.eval()
    before = model(**padded()).logits
    choose(model, padded())
    assert is_chosen(model)
    torch.testing.assert_close(model(**padded()).logits, before, rtol=1e-4, atol=1e-5)
