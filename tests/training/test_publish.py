"""The whole command in one process: what it publishes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mapring import contract
from mapring.contract.verify import verify
from mapring.plan import Plan
from mapring.settings import output_settings
from mapring.settings.normalization import Normalization
from tests.training.conftest import LABELS, PlanMaker, made_documents
from training import preparation
from training import train as trainer
from training.golden import GoldenRow
from training.onnx_export import _replay
from training.precision import choose_precision
from training.ring.single import SingleRing
from training.tasks import open_task


def command(plan: Plan, *more: str) -> int:
    return trainer.main(["--config", plan.config, *plan.overrides, *more])


@pytest.fixture
def published(make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str]) -> Plan:
    plan = make_tiny_plan("train.epochs=6")
    assert command(plan) == 0
    said = capfd.readouterr().err
    assert "single process, 1 ranks" in said
    assert "accuracy" in said and plan.model_directory in said
    return plan


def test_a_published_model_holds_what_the_contract_names(published: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    assert verify(published.model_directory) == []
    manifest = contract.read_manifest(published.model_directory)
    details = manifest.details
    assert (manifest.kind, manifest.fingerprint) == ("model", published.model)
    assert details["labels"] == LABELS and details["max_length"] == 32
    assert details["text"] == output_settings(Normalization())
    assert details["evaluation"]["test"]["accuracy"] > 0.9  # one word tells the label
    assert details["evaluation"]["baselines"].keys() == {"majority", "tfidf_logistic_regression"}
    assert json.loads(Path(published.model_directory, details["evaluation_file"]).read_text()) == details["evaluation"]
    assert [link["kind"] for link in manifest.inputs] == ["shards", "base_model"]
    card = Path(published.model_directory, details["card"]).read_text()
    assert published.shards in card and "| good |" in card
    assert "| its license | not stated beside its weights; look where it came from |" in card
    assert details["throughput"]["samples_per_second"] > 0
    assert Path(published.training_directory, "tensorboard").is_dir()

    assert command(published) == 0
    assert "already published" in capfd.readouterr().err

    stock = Path(published.model_directory, details["transformers"])
    model = AutoModelForSequenceClassification.from_pretrained(stock, local_files_only=True).eval()
    assert model.config.id2label == dict(enumerate(LABELS))
    tokenizer = AutoTokenizer.from_pretrained(stock, local_files_only=True)
    session = onnxruntime.InferenceSession(Path(published.model_directory, details["onnx"]).read_bytes())
    golden = pq.read_table(Path(published.model_directory, details["golden"])).to_pylist()
    assert len(golden) == 16
    lengths = [len(row["input_ids"]) for row in golden]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]
    for row in golden:
        assert tokenizer(row["text"])["input_ids"] == row["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].numpy()
        np.testing.assert_allclose(logits, row["logits"], atol=1e-6)
    padded = np.zeros((16, 40), np.int64)  # another batch size and length than the exporter saw
    mask = np.zeros_like(padded)
    for line, row in enumerate(golden):
        padded[line, : len(row["input_ids"])] = row["input_ids"]
        mask[line, : len(row["input_ids"])] = 1
    inputs = {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}
    answer = session.run(["logits"], inputs)[0]
    np.testing.assert_allclose(answer, [row["logits"] for row in golden], atol=1e-4)


def test_an_export_that_differs_is_refused(published: Plan) -> None:
    details = contract.read_manifest(published.model_directory).details
    content = Path(published.model_directory, details["onnx"]).read_bytes()
    wrong = GoldenRow("so good", [2, 20, 5, 3], None, [9.0, -9.0])
    with pytest.raises(trainer.MapringError, match="differs by"):
        _replay(content, ["input_ids", "attention_mask", "token_type_ids"], "logits", [wrong])


def test_a_run_that_ended_before_publishing_only_publishes(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = make_tiny_plan("train.baselines=false")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "publish_model", lambda *_: (_ for _ in ()).throw(trainer.MapringError("no room")))
        assert command(plan) == 1
    assert "error: no room" in capfd.readouterr().err
    assert not contract.is_published(plan.model_directory)
    before = Path(plan.training_directory, "metrics.jsonl").read_bytes()
    assert command(plan) == 0
    assert "going on from the checkpoint of step" in capfd.readouterr().err
    assert Path(plan.training_directory, "metrics.jsonl").read_bytes() == before
    assert verify(plan.model_directory) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["preprocess.max_length=100"], "cannot take 100 tokens"),
        (["train.typo=1"], "train.typo: unknown key"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    plan = make_tiny_plan(*(word for word in words if "typo" not in word))
    assert command(plan, *words) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and expected in lines[0]


def test_missing_shards_and_labels_are_told(make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str]) -> None:
    plan = make_tiny_plan(shards=False)
    assert command(plan) == 1
    assert "found no published shards; run `mapring preprocess" in capfd.readouterr().err


def test_no_training_rows_are_told(make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str]) -> None:
    plan = make_tiny_plan(documents=[])
    assert command(plan) == 1
    assert "found no rows to train on" in capfd.readouterr().err


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(
    make_tiny_plan: PlanMaker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.training.shards import tiny_model

    small = tiny_model(tmp_path / "small", ["a", "b"])
    plan = make_tiny_plan(f"train.model={small}")
    assert command(plan) == 2
    assert "use the tokenizer that belongs to the model" in capfd.readouterr().err


def test_precision_is_measured_and_kept_by_a_resumed_run(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.running import fit, prepare

    plan = make_tiny_plan("train.precision=auto")
    monkeypatch.setattr(preparation, "choose_precision", lambda *_, **__: ("bf16", 2.0))
    _, cursor = fit(plan)
    assert cursor.precision == "bf16"
    monkeypatch.setattr(preparation, "choose_precision", lambda *_, **__: pytest.fail("measured again"))
    assert prepare(plan)[1].precision == "bf16"


def test_the_precision_chosen_is_the_faster_one(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()
    task = open_task(plan)
    model, _ = preparation.build_trainable(plan, task, 10)
    precision, speedup = choose_precision(task, model, SingleRing(), rows=4, length=8)
    assert (precision == "bf16") == (speedup >= 1.1)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_precision_is_tried_on_as_many_tokens_as_a_core_is_busy_with(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_tiny_plan()
    task = open_task(plan)
    model, _ = preparation.build_trainable(plan, task, 10)
    sizes = []
    real = type(task).sample_batch
    monkeypatch.setattr(type(task), "sample_batch", lambda *given: sizes.append(given[1:3]) or real(*given))
    for rows, length in ((64, 8), (4, 8), (64, 10)):
        choose_precision(task, model, SingleRing(), rows=rows, length=length)
    assert sizes[::2] == sizes[1::2] == [(32, 8), (4, 8), (25, 10)]


def test_documents_are_made_once() -> None:
    assert made_documents(50) == made_documents(50)
