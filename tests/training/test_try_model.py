"""A model is tried at full length before the training, with rows that count every position."""

from __future__ import annotations

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from mapring.errors import SettingsError
from mapring.settings.train import ModelSource
from training.model import try_model
from training.tasks.classification import Classification


def test_a_model_that_is_one_token_too_short_is_refused() -> None:
    """RoBERTa counts positions from behind its padding's, and none for padding: 66 are 64 tokens."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = RobertaConfig(vocab_size=120, max_position_embeddings=66, pad_token_id=1, num_labels=2, **sizes)
    model, task = RobertaForSequenceClassification(config), Classification(["a", "b"], seed=1)
    source = ModelSource.model_validate({"architecture": "roberta"})
    try_model(model, task, 64, source)
    with pytest.raises(SettingsError, match="cannot take 65 tokens"):
        try_model(model, task, 65, source)
    assert all(parameter.grad is None or not torch.any(parameter.grad) for parameter in model.parameters())
