"""Models with more weights than one ONNX file holds: refused before the training, or published without a graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mapring import contract
from mapring.errors import SettingsError, StageError
from mapring.settings.train import ModelSource
from spark_jobs.backends.loading import load_named
from spark_jobs.predictor import Predictor
from tests.training.conftest import PlanMaker
from training import onnx_export
from training import train as trainer
from training.golden import GoldenRow
from training.onnx_export import GraphTooLargeError, _exported, _replay, check_graph_size
from training.own_architectures import new_model
from training.tasks.classification import Classification

TASK = Classification(["a", "b"], seed=1)


def bag_of_words() -> nn.Module:
    return new_model("bag_of_words", {}, vocabulary_size=50, labels=2, pad=0).eval()


def test_a_large_model_of_transformers_is_published_without_a_graph(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_export, "LARGEST_GRAPH", 1000)
    plan = make_tiny_plan("train.baselines=false")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    assert "published without an ONNX graph, so that torch alone scores it: found " in capfd.readouterr().err
    details = contract.read_manifest(plan.model_directory).details
    assert "onnx" not in details
    predictor = Predictor(plan.model_directory)
    assert not predictor.outputs(predictor.encode(["so good"])).failures
    with pytest.raises(trainer.MapringError, match="published without an ONNX graph"):
        load_named("onnx", Path(plan.model_directory), details, None, 1, "cpu")


def test_a_large_model_that_transformers_does_not_load_is_refused_before_the_training(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_export, "LARGEST_GRAPH", 1000)
    source = ModelSource.model_validate({"architecture": "bag_of_words"})
    with pytest.raises(
        SettingsError, match=r"of weights in bag_of_words.*, expected at most 1\.0 kB .* take a smaller"
    ):
        check_graph_size(TASK, bag_of_words(), source)
    plan = make_tiny_plan("train.model={architecture: bag_of_words}")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 2
    assert "take a smaller one" in capfd.readouterr().err


def test_no_graph_is_made_whose_weights_would_stand_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's exporter does so above a size of its own, also where it stores more weights than the model has."""
    monkeypatch.setattr(onnx_export, "LARGEST_GRAPH", 1000)
    with pytest.raises(GraphTooLargeError, match=r"expected at most 1\.0 kB in one ONNX file"):
        _exported(TASK, bag_of_words(), ["input_ids", "attention_mask"])


def test_the_size_is_that_of_the_exporter() -> None:
    from torch.onnx._internal.exporter import _onnx_program

    assert onnx_export.LARGEST_GRAPH <= _onnx_program._LARGE_MODEL_THRESHOLD


def test_what_onnxruntime_does_not_compute_is_told_in_one_line() -> None:
    with pytest.raises(StageError, match="ONNX Runtime cannot compute the exported model"):
        _replay(b"no graph", ["input_ids"], "logits", [])
    content = _exported(TASK, bag_of_words(), ["input_ids", "attention_mask"])
    too_far = GoldenRow(None, [50], None, torch.zeros(2).tolist())
    with pytest.raises(StageError, match="ONNX Runtime cannot compute the exported model"):
        _replay(content, ["input_ids", "attention_mask"], "logits", [too_far])
