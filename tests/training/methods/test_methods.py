"""Methods: what they leave alone, that they learn, that they resume bit for bit, and what they publish."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from mapring import contract
from mapring.errors import SettingsError
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, metrics, prepare, resumed_as_straight, weights
from training import train as trainer
from training.loop import run_training

ADDING = ["lora", "adalora", "ia3", "prefix", "adapter"]
LONG = ("train.learning_rate=1e-2", "train.epochs=6", "train.checkpoint_every_steps=1000")


@pytest.mark.parametrize("method", ADDING)
def test_only_what_is_added_and_the_head_are_trained(make_tiny_plan: PlanMaker, method: str) -> None:
    training, cursor = prepare(make_tiny_plan(f"train.method={method}"))
    before = weights(training)
    run_training(training, cursor, NoStop())
    after = weights(training)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {name for name, item in training.model.named_parameters() if item.requires_grad}
    assert changed & trained
    others = {name for name in changed - trained if not name.startswith("allocation.")}
    assert not others
    assert any("classifier" in name for name in changed)
    share = sum(before[name].numel() for name in trained) / sum(item.numel() for item in before.values())
    assert share < 0.5


@pytest.mark.parametrize("method", ADDING)
def test_a_resumed_training_is_bit_for_bit_the_straight_one(make_tiny_plan: PlanMaker, method: str) -> None:
    words = (f"train.method={method}", "train.epochs=2")
    resumed_as_straight(make_tiny_plan, *words, after_step=14)


QUICK = ["lora"]  # an export takes seconds
SLOW = ["adalora", "ia3", "prefix", "adapter", "{name: full, frozen_layers: 1}"]


@pytest.mark.parametrize("method", [*QUICK, *(pytest.param(method, marks=pytest.mark.slow) for method in SLOW)])
def test_every_method_learns_and_publishes_what_it_evaluated(make_tiny_plan: PlanMaker, method: str) -> None:
    plan = make_tiny_plan(f"train.method={method}", *LONG)
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    losses = [line["loss"] for line in metrics(plan)]
    assert np.mean(losses[-15:]) < np.mean(losses[:15])
    golden = pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist()
    session = onnxruntime.InferenceSession(Path(plan.model_directory, details["onnx"]).read_bytes())
    for row in golden:
        ids = np.array([row["input_ids"]], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (found,) = session.run(["logits"], {entry.name: inputs[entry.name] for entry in session.get_inputs()})
        np.testing.assert_allclose(found[0], row["logits"], atol=1e-4)
    if method in ("prefix", "adapter"):
        assert details["transformers"] is None
        return
    stock = AutoModelForSequenceClassification.from_pretrained(
        Path(plan.model_directory, details["transformers"]), local_files_only=True
    ).eval()
    for row in golden:
        with torch.no_grad():
            logits = stock(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        np.testing.assert_allclose(logits.numpy(), row["logits"], atol=1e-4)


def test_adapters_are_published_beside_their_base(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.method={name: adapter, adapter_width: 4}")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    folder = Path(plan.model_directory, details["tokenizer"])
    found = load_file(folder / "adapter.safetensors")
    assert sum(".adapter.down.weight" in name for name in found) == 2
    assert any(name.startswith("classifier.") for name in found) and len(found) == 2 * 4 + 2
    described = json.loads((folder / "adapter.json").read_text())
    assert described["base"] == plan.settings.train.model.directory and described["method"]["adapter_width"] == 4


def test_adalora_keeps_its_budget_of_ranks(make_tiny_plan: PlanMaker) -> None:
    training, _ = fit(make_tiny_plan("train.method={name: adalora, rank: 4}", *LONG))
    kept = [item for name, item in weights(training).items() if name.startswith("allocation.kept")]
    assert sum(int(item.sum()) for item in kept) == 4 * len(kept)
    assert {len(item) for item in kept} == {6}
    assert len({int(item.sum()) for item in kept}) > 1  # distributed unequally


def test_frozen_layers_stay_as_they_are(make_tiny_plan: PlanMaker) -> None:
    training, cursor = prepare(make_tiny_plan("train.method={name: full, frozen_layers: 1}"))
    before = weights(training)
    run_training(training, cursor, NoStop())
    after = weights(training)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(".layer.0." in name for name in changed)
    assert any(".layer.1." in name for name in changed)
    with pytest.raises(SettingsError, match="found 3, but the model has 2 layers"):
        prepare(make_tiny_plan("train.method={name: full, frozen_layers: 3}"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.method={name: full, rank: 4}"], "found rank with full, expected lora or adalora"),
        (["train.method={name: lora, frozen_layers: 1}"], "found frozen_layers with lora"),
        (["train.method=lora", "train.model={architecture: bert}"], "found lora with random weights"),
        (["train.model={architecture: bert, directory: x}"], "found both, expected one of directory and architecture"),
        (["train.model={directory: x, config: {a: 1}}"], "found config beside directory"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(make_tiny_plan: PlanMaker, words: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_tiny_plan(*words)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{architecture: nonesuch}", "found 'nonesuch', expected a model type of transformers"),
        (
            "{architecture: bert, config: {hiden_size: 32}}",
            "found 'hiden_size', which bert has not; did you mean hidden_size",
        ),
    ],
)
def test_an_unknown_architecture_or_size_is_refused(make_tiny_plan: PlanMaker, model: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        prepare(make_tiny_plan(f"train.model={model}"))


def test_gradient_checkpointing_changes_no_bit(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    plain, _ = fit(make_tiny_plan(f"run_dir={tmp_path}/plain"))
    again, _ = fit(make_tiny_plan(f"run_dir={tmp_path}/again", "train.gradient_checkpointing=true"))
    for name, tensor in weights(plain).items():
        assert torch.equal(tensor, weights(again)[name]), name
