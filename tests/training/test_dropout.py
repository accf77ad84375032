"""Dropout: one setting for every architecture's names, and two passes that differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn
from transformers import AutoConfig

from mapring.errors import SettingsError
from mapring.plan import make_plan
from tests.training.conftest import PlanMaker
from training.dropout import dropout_names, dropout_settings
from training.preparation import build_trainable
from training.tasks import open_task

NAMES = {
    "bert": {"attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout_prob"},
    "gpt2": {"attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"},
    "modernbert": {"attention_dropout", "classifier_dropout", "embedding_dropout", "mlp_dropout"},
    "llama": {"attention_dropout"},
}


@pytest.mark.parametrize("architecture", NAMES)
def test_the_names_of_architectures(architecture: str) -> None:
    config = AutoConfig.for_model(architecture)
    assert set(dropout_names(config)) == NAMES[architecture]
    assert dropout_settings(config, 0.3) == dict.fromkeys(NAMES[architecture], 0.3)
    assert dropout_settings(config, None) == {}


def test_an_architecture_without_any_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"train.dropout: found 0.1, but mamba has no dropout; remove it"):
        dropout_settings(AutoConfig.for_model("mamba"), 0.1)


def test_a_pretrained_model_is_given_it_and_has_its_own_without(make_tiny_plan: PlanMaker) -> None:
    for setting, expected in (("null", 0.1), ("0.25", 0.25), ("0", 0.0)):
        plan = make_tiny_plan(f"train.dropout={setting}")
        model, _ = build_trainable(plan, open_task(plan), 10)
        assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {expected}


def test_a_new_model_is_given_it_but_for_what_its_config_says(make_tiny_plan: PlanMaker) -> None:
    sizes = "hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64"
    model = f"train.model={{architecture: bert, config: {{{sizes}, attention_probs_dropout_prob: 0.0}}}}"
    plan = make_tiny_plan(model, "train.dropout=0.2")
    config = build_trainable(plan, open_task(plan), 10).model.config
    found = (config.hidden_dropout_prob, config.classifier_dropout, config.attention_probs_dropout_prob)
    assert found == (0.2, 0.2, 0.0)


def test_two_passes_without_dropout_are_refused(make_tiny_plan: PlanMaker, base_model_without_dropout: Path) -> None:
    words = [f"train.model={base_model_without_dropout}", "train.objective.r_drop=0.5"]
    plan = make_tiny_plan(*words)
    with pytest.raises(SettingsError, match=r"r_drop: found 0.5, but the model has no dropout.*set train.dropout"):
        build_trainable(plan, open_task(plan), 10)
    plan = make_tiny_plan(*words, "train.dropout=0.1")
    build_trainable(plan, open_task(plan), 10)


def test_own_architectures_have_it_in_their_sizes(make_tiny_plan: PlanMaker) -> None:
    config = make_tiny_plan().config
    with pytest.raises(SettingsError, match=r"dropout: found it with lstm; set it as model.config.dropout"):
        make_plan(config, ["train.model={architecture: lstm}", "train.dropout=0.1"])
