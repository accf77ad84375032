"""Models that look at padding are refused before the training, however little new weights show it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

from mapring.errors import SettingsError
from mapring.settings.train import ModelSource
from tests.training.conftest import PlanMaker
from training import train as trainer
from training.own_architectures import new_model
from training.padding_check import check_padding
from training.tasks import Task
from training.tasks.classification import Classification
from training.tasks.language_model import MaskedLanguageModel
from training.tasks.masking import Masking

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TASK = Classification(["a", "b", "c"], seed=1)
SOURCE = ModelSource.model_validate({"architecture": "bert"})


def made(auto: Any, kind: str, **sizes: Any) -> nn.Module:
    torch.manual_seed(1)
    shape = {"vocab_size": 60, "max_position_embeddings": 66, "pad_token_id": 5, "bos_token_id": 1, "eos_token_id": 2}
    model: nn.Module = auto.from_config(AutoConfig.for_model(kind, **shape, num_labels=3, **sizes))
    return model


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("convbert", {**SIZES, "embedding_size": 32, "conv_kernel_size": 3}),
        ("fnet", SIZES),
        ("mobilebert", {"num_hidden_layers": 2}),
    ],
)
def test_models_that_look_at_padding_are_refused(kind: str, sizes: dict[str, Any]) -> None:
    model = made(AutoModelForSequenceClassification, kind, **sizes).train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(SettingsError, match="take an architecture that masks padding"):
        check_padding(model, TASK, 64, SOURCE)
    assert model.training
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("bert", SIZES),
        ("roberta", SIZES),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2}),
        ("llama", {**SIZES, "num_key_value_heads": 1}),
        ("modernbert", {**SIZES, "local_attention": 8}),
    ],
)
def test_models_that_mask_it_are_taken(kind: str, sizes: dict[str, Any]) -> None:
    check_padding(made(AutoModelForSequenceClassification, kind, **sizes).train(), TASK, 64, SOURCE)


def test_own_architectures_and_heads_of_language_models_are_taken() -> None:
    for kind in ("lstm", "bag_of_words"):
        check_padding(new_model(kind, {}, vocabulary_size=60, labels=3, pad=5), TASK, 64, SOURCE)
    masked: Task = MaskedLanguageModel(Masking(0.15, mask_id=4, special_ids=(), vocabulary=60, seed=1))
    check_padding(made(AutoModelForMaskedLM, "bert", **SIZES), masked, 64, SOURCE)
    check_padding(made(AutoModelForMaskedLM, "bert", **SIZES), masked, 1, SOURCE)


def test_a_training_does_not_begin_with_one(make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str]) -> None:
    sizes = "hidden_size: 32, num_hidden_layers: 1, intermediate_size: 48"
    plan = make_tiny_plan(f"train.model={{architecture: fnet, config: {{{sizes}}}}}")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 2
    assert "found that padding changes what fnet" in capfd.readouterr().err
