"""Small classifiers of transformers, and rows to try them with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

_SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,  # far from the usual 0.02, at which a block changes little
}


def classifier(architecture: str, dropout: float = 0.0, **changes: Any) -> nn.Module:
    """A classifier with random weights, the same each time."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(17)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = AutoConfig.for_model(architecture, **{**_SIZES, **rates, **changes})
    return AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-any-return]


def padded() -> dict[str, torch.Tensor]:
    """Five rows of up to 12 tokens."""
    torch.manual_seed(23)
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3], [1], [9]])).long()
    return {"input_ids": torch.randint(3, 60, (5, 12)) * mask, "attention_mask": mask}


def is_chosen(model: nn.Module) -> bool:
    """Whether a module has another forward than that of its class."""
    return any(isinstance(module.__dict__.get("forward"), partial) for module in model.modules())


def loss_of(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The mean loss of the rows of `padded`."""
    return torch.nn.functional.cross_entropy(model(**inputs).logits, torch.tensor([0, 1, 0, 1, 1]))
