"""What a model card tells of teacher or base and the smaller model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from mapring import contract
from mapring.plan import Plan
from tests.training.conftest import LABELS, PlanMaker
from tests.training.running import prepare
from tests.training.tasks.helpers import published
from tests.training.teachers import write_teacher
from tests.training.thread_ring import ThreadRing, run_ranks
from training.card import _compression
from training.compression.before_after import before_and_after, evaluate_before
from training.reader import ShardReader


@pytest.fixture
def teacher(tmp_path: Path, base_model: Path) -> Path:
    return write_teacher(tmp_path / "teacher", base_model, LABELS[::-1])


def accuracy_by_name(directory: Path, plan: Plan) -> float:
    """Share of the test split's rows whose label the classifier names, one row at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True).eval()
    right = []
    for batch in ShardReader(plan.shards_directory, "test").rows():
        for ids, label in zip(batch.input_ids, batch.label_ids, strict=True):
            with torch.no_grad():
                answer = int(model(input_ids=torch.tensor(np.array([ids], np.int64))).logits.argmax())
            right.append(model.config.id2label[answer] == LABELS[label])
    return sum(right) / len(right)


def test_a_distilled_and_compressed_model_is_published_with_its_figures(
    make_tiny_plan: PlanMaker, base_model: Path, teacher: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = make_tiny_plan(
        f"train.distillation={teacher}", "train.compression={keep_layers: 1, keep_units: 0.5}", "train.baselines=false"
    )
    details, stock = published(plan)
    assert "of the teacher's parameters" in capfd.readouterr().err
    found = details["evaluation"]["compression"]
    assert json.loads(Path(plan.model_directory, details["evaluation_file"]).read_text())["compression"] == found
    before, after = found["before"], found["after"]
    assert before["model"] == "teacher"
    assert before["accuracy"] == pytest.approx(accuracy_by_name(teacher, plan))
    assert (after["accuracy"], after["macro_f1"]) == tuple(
        details["evaluation"]["test"][name] for name in ("accuracy", "macro_f1")
    )
    for figures, directory in ((before, teacher), (after, stock)):
        model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True)
        assert figures["parameters"] == sum(item.numel() for item in model.parameters())
        assert figures["bytes"] == 4 * figures["parameters"] and figures["samples_per_second"] > 0
    assert model.config.num_hidden_layers == 1 and model.config.intermediate_size == 32
    golden = pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist()
    for row in golden:
        with torch.no_grad():
            given = model.eval()(input_ids=torch.tensor([row["input_ids"]])).logits[0].numpy()
        np.testing.assert_allclose(given, row["logits"], atol=1e-6)
    links = contract.read_manifest(plan.model_directory).inputs
    assert [link["kind"] for link in links] == ["shards", "base_model", "teacher"]
    assert links[2]["path"] == str(teacher) and links[2]["identity"] != links[1]["identity"]
    card = Path(plan.model_directory, details["card"]).read_text()
    assert "## Compression" in card and "| | before: teacher | after: this model | after / before |" in card
    assert f"| parameters | {before['parameters']:,} | {after['parameters']:,} |" in card

    again = make_tiny_plan(f"train.distillation={plan.model_directory}", "train.epochs=2")
    student, _ = prepare(again)  # a published model is a teacher, too
    assert again.model not in (plan.model, make_tiny_plan("train.epochs=2").model)
    assert student.task.labels == LABELS


def test_a_base_that_knows_the_labels_is_evaluated_alike_on_any_number_of_ranks(
    make_tiny_plan: PlanMaker, teacher: Path
) -> None:
    plan = make_tiny_plan(f"train.model={teacher}", "train.compression={keep_layers: 2}")
    training, _ = prepare(plan)
    alone = evaluate_before(training)
    assert alone is not None and alone.kind == "base"
    assert alone.test["accuracy"] == pytest.approx(accuracy_by_name(teacher, plan))

    def work(ring: ThreadRing) -> Any:
        torch.set_num_threads(1)
        return training.task.evaluate(alone.model, ring, plan.shards_directory, "test", 1.0)

    assert run_ranks(2, work) == [alone.test, alone.test]


@pytest.mark.parametrize("task", ["classify", "mlm"])
def test_a_base_without_these_labels_has_size_and_speed_alone(make_tiny_plan: PlanMaker, task: str) -> None:
    training, _ = prepare(make_tiny_plan(f"train.task={task}", "train.compression={keep_layers: 1}"))
    before = evaluate_before(training)
    assert before is not None and (before.kind, before.test) == ("base", {})
    found = before_and_after(training, before, {"loss": 0.5})
    block = sum(item.numel() for item in training.model.bert.encoder.layer.parameters())  # type: ignore[union-attr]
    assert found["before"]["parameters"] - found["after"]["parameters"] == block
    for figures in (found["before"], found["after"]):
        assert figures["samples_per_second"] > 0 and figures["accuracy"] is figures["macro_f1"] is None
    assert found["before"]["model"] == "base"


def test_a_plain_training_has_nothing_before_it(make_tiny_plan: PlanMaker) -> None:
    assert evaluate_before(prepare(make_tiny_plan())[0]) is None


def test_a_card_says_what_is_not_known() -> None:
    figures = {"parameters": 2000, "bytes": 8000, "samples_per_second": 500.0}
    before = {"model": "base", **figures, "accuracy": None, "macro_f1": None}
    after = {"parameters": 1000, "bytes": 4000, "samples_per_second": 1250.0, "accuracy": 0.5, "macro_f1": 0.25}
    lines = _compression({"before": before, "after": after, "rows": 32, "length": 7, "threads": 2, "rounds": 7})
    assert "| parameters | 2,000 | 1,000 | 0.50 |" in lines
    assert "| samples/s | 500 | 1,250 | 2.50 |" in lines
    assert "| accuracy on the test split | not known | 0.500 |  |" in lines
    assert _compression(None) == []
