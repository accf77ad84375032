"""The last block for the first token only: less is computed, with dropout where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.bert_like import classifier, is_chosen, padded
from tests.training.conftest import PlanMaker
from tests.training.running import fit
from training.first_token import choose_first_token


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
