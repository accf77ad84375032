"""The LSTM and the bag of words: rows read alone, learning, publishing, and scoring by their graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from mapring import contract
from mapring.errors import SettingsError
from spark_jobs.predictor import Predictor
from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics, prepare, weights
from training import train as trainer
from training.own_architectures import new_model

KINDS = ["lstm", "bag_of_words"]
LONG = "train.checkpoint_every_steps=1000"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_padding_changes_no_row(kind: str, layers: int) -> None:
    torch.manual_seed(1)
    sizes = {"num_layers": layers, "hidden_size": 8} if kind == "lstm" else {}
    model = new_model(kind, {"embedding_size": 6, **sizes}, vocabulary_size=20, labels=3, pad=0).eval()
    rows = [[5, 6, 7, 8, 9], [5, 6], [7]]
    ids, mask = torch.zeros(3, 5, dtype=torch.int64), torch.zeros(3, 5, dtype=torch.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.tensor(row)
        mask[line, : len(row)] = 1
    with torch.no_grad():
        together = model(ids, mask).logits
        for line, row in enumerate(rows):
            alone = model(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.int64)).logits[0]
            torch.testing.assert_close(together[line], alone)


@pytest.mark.parametrize("kind", ["lstm", pytest.param("bag_of_words", marks=pytest.mark.slow)])
def test_it_learns_and_is_scored_by_its_graph(make_tiny_plan: PlanMaker, kind: str) -> None:
    plan = make_tiny_plan(f"train.model={{architecture: {kind}}}", "train.epochs=6", LONG)
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    assert details["transformers"] is None
    assert details["evaluation"]["test"]["accuracy"] > 0.8  # one word tells the label
    folder = Path(plan.model_directory, details["tokenizer"])
    assert json.loads((folder / "config.json").read_text())["architecture"] == kind
    assert "classifier.weight" in load_file(folder / "model.safetensors")
    golden = pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist()
    logits = np.array([row["logits"] for row in golden])
    predictor = Predictor(plan.model_directory)
    found = predictor.outputs(predictor.encode([row["text"] for row in golden])).logits
    np.testing.assert_allclose(found, logits, atol=1e-4)
    losses = [line["loss"] for line in metrics(plan)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_alone_decides_the_weights(make_tiny_plan: PlanMaker, tmp_path: Path, kind: str) -> None:
    words = (f"train.model={{architecture: {kind}}}",)
    first, _ = fit(make_tiny_plan(*words, f"run_dir={tmp_path}/a"))
    second, _ = fit(make_tiny_plan(*words, f"run_dir={tmp_path}/b"))
    assert all(torch.equal(tensor, weights(second)[name]) for name, tensor in weights(first).items())


def test_what_it_has_not_is_refused(make_tiny_plan: PlanMaker) -> None:
    words = ("train.model={architecture: lstm}",)
    with pytest.raises(SettingsError, match="found 'heads', expected for lstm one of embedding_size, dropout"):
        prepare(make_tiny_plan(*words, "train.model.config.heads=2"))
    with pytest.raises(SettingsError, match="found lstm with task=mlm, expected classify or clm"):
        make_tiny_plan(*words, "train.task=mlm", "score=null")
    with pytest.raises(SettingsError, match="which has no blocks"):
        make_tiny_plan(*words, "train.gradient_checkpointing=true")
