"""Every method trains the whole head, wherever an architecture keeps it, and nothing else of the pretrained weights."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mapring.errors import SettingsError
from mapring.settings.train import Method, ModelSource, Train
from tests.training.bert_like import classifier, padded
from training.methods import apply_method, finished_model, save_parts
from training.model import try_model
from training.output_layer import head_of, head_parameters, output_layer
from training.targets import TargetScale
from training.tasks.classification import Classification
from training.tasks.language_model import MaskedLanguageModel
from training.tasks.masking import Masking
from training.tasks.raw_scale import RawScaleLinear
from training.tasks.regression import Regression

TASK = Classification(["a", "b"], 1)
SOURCE = ModelSource(directory="base")
NEW = {  # modules of each architecture that a model without a classifier does not bring
    "bert": ("bert.pooler.dense", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    "electra": ("classifier.dense", "classifier.out_proj"),
    "mpnet": ("classifier.dense", "classifier.out_proj"),
    "deberta-v2": ("classifier", "pooler.dense"),
    "distilbert": ("classifier", "pre_classifier"),
    "modernbert": ("classifier", "head.dense", "head.norm"),
    "gpt2": ("score",),
}
IN_PEFT = {  # of the others it does not know which layers ia3 scales, or they have no place for a prefix
    "ia3": ("bert", "roberta", "deberta-v2", "gpt2"),
    "prefix": ("bert", "roberta", "xlm-roberta", "electra", "gpt2"),
}
METHODS = ("lora", "adalora", "ia3", "prefix", "adapter")
CASES = [(method, architecture) for method in METHODS for architecture in IN_PEFT.get(method, NEW)]


def small(architecture: str, **changes: Any) -> nn.Module:
    own: dict[str, dict[str, Any]] = {
        "modernbert": {"cls_token_id": 1, "sep_token_id": 2},
        "xlnet": {"d_head": 16},
    }
    return classifier(architecture, num_hidden_layers=1, **own.get(architecture, {}), **changes)


def trained(model: nn.Module, steps: int = 3) -> None:
    """A few steps of AdamW on what is left to be trained."""
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], lr=1e-2)
    for _ in range(steps):
        logits = model(**padded()).logits
        loss = nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1, 1]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "goes_on"])
@pytest.mark.parametrize(("method", "architecture"), CASES)
def test_the_whole_head_is_trained_and_merged(method: str, architecture: str, is_new: bool) -> None:
    model = small(architecture)
    before = {name: item.detach().clone() for name, item in model.named_parameters()}
    head = head_of(model, TASK, NEW[architecture] if is_new else ())
    assert output_layer(model, 2) in head and (is_new or len(head) == 1)
    adapted = apply_method(model, Method(name=method), head=head, total_steps=50)  # type: ignore[arg-type]
    try_model(adapted, TASK, 12, SOURCE)
    trained(adapted)
    for name, item in head_parameters(adapted, head).items():
        assert item.requires_grad and not torch.equal(item, before[name]), name
    assert {name.rpartition(".")[0] for name in head_parameters(adapted, head)} == set(head)
    adapted.eval()
    with torch.no_grad():
        expected = adapted(**padded()).logits
        finished = finished_model(adapted).eval()
        torch.testing.assert_close(finished(**padded()).logits, expected, rtol=1e-4, atol=1e-4)
    if method == "adapter":
        others = {name.replace(".block.", "."): item for name, item in finished.named_parameters()}
        changed = {name for name, item in before.items() if not torch.equal(others[name], item)}
        assert {name.rpartition(".")[0] for name in changed} == set(head)


@pytest.mark.parametrize("method", ["lora", "adalora", "adapter"])
@pytest.mark.parametrize("architecture", ["xlnet", "distilbert", "roberta", "bert"])
def test_a_number_in_its_own_unit_is_merged_as_it_was_trained(method: str, architecture: str) -> None:
    model, task = small(architecture, num_labels=1, problem_type="regression"), Regression(TargetScale(1000.0, 200, 9))
    task.prepare(model)
    adapted = apply_method(model, Method(name=method), head=head_of(model, task, ()), total_steps=50)  # type: ignore[arg-type]
    assert any(type(layer) is RawScaleLinear for layer in adapted.modules())
    adapted.eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
        expected = adapted(**padded()).logits
        finished = finished_model(adapted)
        task.finish(finished)
        torch.testing.assert_close(finished(**padded()).logits, expected, rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "goes_on"])
@pytest.mark.parametrize("architecture", IN_PEFT["prefix"])
def test_published_prefixes_have_the_head_with_them(tmp_path: Path, architecture: str, is_new: bool) -> None:
    import peft

    model = small(architecture)
    base = copy.deepcopy(model)
    head = head_of(model, TASK, NEW[architecture] if is_new else ())
    adapted = apply_method(model, Method(name="prefix", prefix_tokens=4), head=head, total_steps=50)
    trained(adapted)
    save_parts(adapted, Train.model_construct(), head, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peft's own use of what transformers is about to remove
        again = peft.PeftModel.from_pretrained(base, str(tmp_path)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        torch.testing.assert_close(again(**padded()).logits, adapted.eval()(**padded()).logits)


@pytest.mark.parametrize("architecture", sorted(set(NEW) - set(IN_PEFT["prefix"])))
def test_a_model_without_a_place_for_prefixes_is_refused(architecture: str) -> None:
    model = small(architecture)
    head = head_of(model, TASK, ())
    with pytest.raises(SettingsError, match=r"prefix adds keys and values to each layer, and .* takes none; cho"):
        apply_method(model, Method(name="prefix", prefix_tokens=4), head=head, total_steps=50)


@pytest.mark.parametrize("method", ["lora", "ia3", "adapter"])
def test_a_new_head_of_a_language_model_leaves_the_embeddings_that_it_shares(method: str) -> None:
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(
        BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    )
    parts = ("", ".decoder", ".transform.LayerNorm", ".transform.dense")
    task = MaskedLanguageModel(Masking(share=0.15, mask_id=4, special_ids=[0, 1, 2, 3, 4], vocabulary=60, seed=1))
    head = head_of(model, task, [f"cls.predictions{part}" for part in parts])
    adapted = apply_method(model, Method(name=method), head=head, total_steps=50)  # type: ignore[arg-type]
    try_model(adapted, task, 12, SOURCE)
    assert set(head_parameters(adapted, head)) == {
        "cls.predictions.bias",
        *(
            f"cls.predictions.transform.{layer}.{kind}"
            for layer in ("dense", "LayerNorm")
            for kind in ("weight", "bias")
        ),
    }
    assert all(item.requires_grad for item in head_parameters(adapted, head).values())
    finished = finished_model(adapted)
    assert not finished.get_input_embeddings().weight.requires_grad and finished.config.tie_word_embeddings  # type: ignore


def test_an_output_layer_that_learns_nothing_is_refused() -> None:
    model = small("roberta")
    model.classifier.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match=r"the loss of .*base.* does not depend on classifier\.out_proj"):
        try_model(model, TASK, 12, SOURCE)
