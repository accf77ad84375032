"""Logits of the wanted cells alone: the same as among all, of every head that works on each token by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from training.heads import choose_head, logits_at

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DECODER = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
WHERE = torch.tensor([[False, True, True, False], [True, False, False, False], [False] * 4])
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0], [11, 12, 13, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != 0).long()}


def made(architecture: str, **values: Any) -> nn.Module:
    torch.manual_seed(3)
    config = AutoConfig.for_model(architecture, vocab_size=40, pad_token_id=0, initializer_range=0.3, **values)
    auto = AutoModelForCausalLM if "num_key_value_heads" in values or architecture == "gpt2" else AutoModelForMaskedLM
    model: nn.Module = auto.from_config(config).train()
    return model


MODELS = {
    "bert": SIZES,
    "roberta": SIZES,
    "modernbert": {**SIZES, "layer_types": ["full_attention"] * 2},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "electra": {**SIZES, "embedding_size": 8},
    "deberta-v2": {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": DECODER,
    "gemma2": {**DECODER, "final_logit_softcapping": 2.0},
    "cohere": {**DECODER, "logit_scale": 0.1},
}


@pytest.mark.parametrize("architecture", MODELS)
def test_only_wanted_logits_are_computed_and_are_those_among_all(architecture: str) -> None:
    model = made(architecture, **MODELS[architecture]).eval()
    whole = logits_at(model, INPUTS, WHERE)
    expected = gradients(model)
    computed: list[int] = []
    model.get_output_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda _layer, _given, found: computed.append(found[..., 0].numel())
    )
    choose_head(model, INPUTS, WHERE)
    computed.clear()
    found = gradients(model)
    assert computed == [3]
    assert whole.shape == (3, 40)
    torch.testing.assert_close(logits_at(model, INPUTS, WHERE), whole, rtol=1e-5, atol=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    model.zero_grad()
    nn.functional.cross_entropy(logits_at(model, INPUTS, WHERE), torch.tensor([7, 8, 9]), reduction="sum").backward()
    return {name: item.grad.clone() for name, item in model.named_parameters() if item.grad is not None}


def test_the_model_itself_gives_the_logits_of_all_cells_as_before() -> None:
    model = made("bert", **SIZES).eval()
    before = model(**INPUTS).logits
    choose_head(model, INPUTS, WHERE)
    logits_at(model, INPUTS, WHERE)
    assert torch.equal(model(**INPUTS).logits, before)


def test_nowhere_wanted_are_no_logits() -> None:
    model = made("modernbert", **MODELS["modernbert"])
    choose_head(model, INPUTS, WHERE)
    assert logits_at(model, INPUTS, torch.zeros_like(WHERE)).shape == (0, 40)


class AcrossTokens(nn.Module):
    """A head that looks at a token's neighbour, so its logits hang on which cells are there."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: torch.Tensor) -> Any:
        return self.inner(hidden + hidden.roll(1, dims=1))


def test_a_head_that_looks_at_other_tokens_stays_whole() -> None:
    model = made("bert", **SIZES).eval()
    model.cls = AcrossTokens(model.cls)  # type: ignore[arg-type]
    whole = logits_at(model, INPUTS, WHERE)
    one_row = {name: tensor[:1] for name, tensor in INPUTS.items()}
    choose_head(model, one_row, torch.ones(1, 4, dtype=torch.bool))  # all cells are wanted, and there are no others
    choose_head(model, INPUTS, WHERE)
    assert torch.equal(logits_at(model, INPUTS, WHERE), whole)
