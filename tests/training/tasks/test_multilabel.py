"""Sets of labels: the loss by hand, the same figures on any number of ranks, learned and published whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from tests.training.tasks.helpers import assert_evaluated_alike, golden_of, labelled_sentences, loss_of, published
from tests.training.tiny_plan import BAD, GOOD
from training.reader import Batch, ShardReader
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.shard_check import labelled_rows, rows_of_labels
from training.tasks import open_task

NAMES = ["negative", "positive", "unseen"]


def labels_of(words: list[str]) -> list[int]:
    return [label for label, kind in enumerate((BAD, GOOD)) if set(words) & set(kind)]


@pytest.fixture
def plan(make_tiny_plan: PlanMaker, base_model_without_dropout: Path) -> Plan:
    return make_tiny_plan(
        "train.task=multilabel",
        f"train.model={base_model_without_dropout}",
        "train.epochs=20",
        "train.learning_rate=3e-3",
        documents=labelled_sentences("label_ids", labels_of),
        labels=NAMES,
        label_kind="several",
    )


def test_the_loss_is_that_of_every_label_of_every_labelled_row(plan: Plan) -> None:
    training, _ = prepare(plan)
    rows, sets = [[2, 7, 8, 9, 3], [2, 6, 3], [2, 5, 3]], [[0, 1], [], []]
    batch = Batch(
        doc_ids=["a", "b", "c"],
        input_ids=[np.array(row, np.int32) for row in rows],
        label_ids=np.full(3, -100),
        global_rows=3,
        texts=[],
        label_sets=[np.array(own, np.int32) for own in sets],
        is_labelled=np.array([True, True, False]),
    )
    expected = 0.0
    training.model.eval()
    for row, own in zip(rows[:2], sets[:2], strict=True):
        with torch.no_grad():
            probabilities = training.model(input_ids=torch.tensor([row])).logits[0].sigmoid().tolist()
        expected -= sum(np.log(value if label in own else 1 - value) for label, value in enumerate(probabilities))
    found, weight = loss_of(training.task, training.model, batch)
    assert weight == 6
    assert found == pytest.approx(expected, rel=1e-5)


def test_evaluation_is_bit_for_bit_the_same_on_any_number_of_ranks(plan: Plan) -> None:
    found = assert_evaluated_alike(prepare(plan)[0], plan)
    rows = ShardReader(plan.shards_directory, "test").rows_in_split
    assert found["rows"] + found["unlabelled"] == rows and found["unlabelled"] > 0
    assert labelled_rows(SingleRing(), plan.shards_directory, "test") == found["rows"], "no label is an answer, too"
    counts = rows_of_labels(SingleRing(), plan.shards_directory, len(NAMES))
    assert [name for name, count in zip(NAMES, counts, strict=True) if not count] == ["unseen"]


@pytest.mark.slow
def test_labels_are_learned_and_published_whole(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    details, stock = published(plan)
    said = capfd.readouterr().err
    assert "no training row has the label unseen" in said and "subset accuracy" in said
    test = details["evaluation"]["test"]
    assert test["subset_accuracy"] > 0.8 and test["micro_f1"] > 0.9
    assert details["labels"] == NAMES
    assert details["evaluation"]["baselines"].keys() == {"most_frequent_set", "tfidf_one_vs_rest"}
    model = AutoModelForSequenceClassification.from_pretrained(stock, local_files_only=True).eval()
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.id2label == dict(enumerate(NAMES))
    for inputs, expected in golden_of(plan, details, stock, "logits"):
        with torch.no_grad():
            np.testing.assert_allclose(model(**inputs).logits[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "kind", "told"),
    [
        ("multilabel", "one", "found preprocess.labels=one, expected several"),
        ("classify", "several", "found preprocess.labels=several, expected one .*train.task=multilabel"),
        ("classify", "number", "train.task=regression"),
        ("regression", "several", "expected number for train.task=regression"),
        ("embed", "one", "found single texts, expected pairs"),
    ],
)
def test_shards_of_other_labels_are_refused(make_tiny_plan: PlanMaker, task: str, kind: str, told: str) -> None:
    plan = make_tiny_plan(
        f"train.task={task}", documents=labelled_sentences("label_ids", labels_of, 20), label_kind=kind
    )
    with pytest.raises(AgreedError, match=told):
        open_task(plan)
