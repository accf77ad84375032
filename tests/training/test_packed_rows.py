"""Packed documents have the logits that each has alone, or the model is refused before it is trained."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from mapring.errors import SettingsError
from mapring.settings.train import ModelSource
from training.packed_rows import check_packed_rows
from training.tasks.language_model import CausalLanguageModel, MaskedLanguageModel
from training.tasks.masking import Masking

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
LENGTH = 40


def made(architecture: str, **sizes: object) -> torch.nn.Module:
    torch.manual_seed(3)
    config = AutoConfig.for_model(architecture, vocab_size=120, **{**SIZES, "pad_token_id": 0, **sizes})
    is_causal = architecture in ("gpt2", "llama", "mistral", "bloom")
    model = (AutoModelForCausalLM if is_causal else AutoModelForMaskedLM).from_config(config)
    for parameter in model.parameters():  # as they come, positions hardly count
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def check(architecture: str, **sizes: object) -> None:
    task = CausalLanguageModel() if architecture in ("gpt2", "llama", "mistral", "bloom") else MASKED
    source = ModelSource.model_validate({"architecture": architecture})
    check_packed_rows(made(architecture, **sizes), task, LENGTH, source)


MASKED = MaskedLanguageModel(Masking(0.15, mask_id=4, special_ids=(0, 1, 2, 3), vocabulary=120, seed=1))


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("bert", {"max_position_embeddings": 64}),
        ("roberta", {"max_position_embeddings": LENGTH + 2, "pad_token_id": 1}),
        ("xlm-roberta", {"max_position_embeddings": LENGTH + 2, "pad_token_id": 1}),
        ("modernbert", {"local_attention": 128}),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
        ("llama", {"num_key_value_heads": 2}),
    ],
)
def test_models_that_can_be_packed(architecture: str, sizes: dict[str, object]) -> None:
    check(architecture, **sizes)


@pytest.mark.parametrize(
    ("architecture", "sizes", "told"),
    [
        ("modernbert", {"local_attention": 4}, "gives packed documents other logits than those alone"),
        ("mistral", {"sliding_window": 4, "num_key_value_heads": 2}, "gives packed documents other logits"),
        ("bloom", {"n_head": 2, "n_layer": 2}, "takes no packed rows .*set preprocess.packing=none"),
    ],
)
def test_models_that_would_be_trained_by_other_rules_are_refused(
    architecture: str, sizes: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        check(architecture, **sizes)
