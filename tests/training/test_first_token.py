"""The last block for the first token only: the same logits and gradients, and never where other tokens are read."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.bert_like import assert_same_logits_and_gradients, classifier, is_chosen, padded
from tests.training.conftest import PlanMaker
from tests.training.running import fit
from training.bert_like import restore_forwards
from training.first_token import choose_first_token
from training.methods import apply_method


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "xlm-roberta", "camembert"])
def test_logits_and_gradients_are_those_of_all_tokens(architecture: str) -> None:
    plain = classifier(architecture)
    model = deepcopy(plain)
    choose_first_token(model, padded())
    assert is_chosen(model)
    assert_same_logits_and_gradients(model, plain)


def test_less_is_computed() -> None:
    model = classifier("bert")
    choose_first_token(model, padded())
    seen: list[torch.Size] = []
    last = model.bert.encoder.layer[-1]  # type: ignore[union-attr,index]
    last.intermediate.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))  # type: ignore[union-attr]
    model(**padded())
    assert seen == [torch.Size([5, 1, 48])]


def test_dropout_falls_on_attention_and_hidden_states() -> None:
    model = classifier("bert", dropout=0.5)
    choose_first_token(model, padded())
    assert is_chosen(model) and model.training
    with torch.no_grad():
        own = model.bert.encoder.layer[-1].attention  # type: ignore[union-attr,index]
        hidden = torch.randn(1, 6, 32)
        found = {own(hidden)[0].sum().item() for _ in range(4)}  # type: ignore[operator]
        model.eval()
        still = {own(hidden)[0].sum().item() for _ in range(4)}  # type: ignore[operator]
    assert len(found) == 4 and len(still) == 1


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
def test_other_models_stay_as_they_are(architecture: str, changes: dict[str, Any]) -> None:
    model = classifier(architecture, **changes)
    choose_first_token(model, padded())
    assert not is_chosen(model)


def test_a_decoder_whose_first_token_sees_itself_only_answers_as_before() -> None:
    model = classifier("bert", is_decoder=True)
    before = model(**padded()).logits
    choose_first_token(model, padded())
    torch.testing.assert_close(model(**padded()).logits, before)


def test_a_head_that_reads_all_tokens_is_found_out() -> None:
    class MeanHead(nn.Module):
        """Roberta's head, over the mean of all tokens."""

        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, features: torch.Tensor, **_others: Any) -> torch.Tensor:
            """Logits (B, C) of hidden states (B, T, H)."""
            found: torch.Tensor = self.linear(features.mean(1))
            return found

    model = classifier("roberta")
    model.classifier = MeanHead(nn.Linear(32, 2))
    choose_first_token(model, padded())
    assert not is_chosen(model)


def test_all_tokens_again() -> None:
    model = classifier("bert")
    model.eval()
    before = model(**padded()).logits
    choose_first_token(model, padded())
    restore_forwards(model)
    assert not is_chosen(model) and torch.equal(model(**padded()).logits, before)


@pytest.mark.parametrize("method", ["lora", "prefix", "adapter"])
def test_methods_have_the_logits_of_all_tokens(method: str, make_tiny_plan: PlanMaker) -> None:
    settings = make_tiny_plan(f"train.method={method}", shards=False).settings.train.method
    model = apply_method(classifier("bert"), settings, task="classify", head=("classifier",), total_steps=4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)  # what starts as nothing would hide a difference
    model.eval()
    before = model(**padded()).logits
    choose_first_token(model, padded())
    torch.testing.assert_close(model(**padded()).logits, before, rtol=1e-4, atol=1e-5)


def test_a_training_computes_the_last_block_for_the_first_token_only(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.bert.modeling_bert import BertIntermediate

    widths: list[int] = []
    plain = BertIntermediate.forward

    def noting(self: Any, hidden: torch.Tensor) -> torch.Tensor:
        widths.append(hidden.shape[1])
        return plain(self, hidden)  # type: ignore[no-any-return]

    monkeypatch.setattr(BertIntermediate, "forward", noting)
    fit(make_tiny_plan("train.epochs=1"))
    assert min(widths[:6]) > 1  # both blocks tried whole, without padding and before the first token was chosen
    assert set(widths[7::2]) == {1} and 1 not in widths[6::2]
