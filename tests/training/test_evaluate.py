"""Evaluation: the figures are scikit-learn's, and the same for any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from tests.training.conftest import LABELS, PlanMaker, made_documents
from tests.training.running import prepare
from tests.training.shards import build_shards
from tests.training.thread_ring import ThreadRing, run_ranks
from training.baselines.labels import label_baselines
from training.figures.classification import figures
from training.padding import padded_rows
from training.reader import ShardReader
from training.ring.single import SingleRing
from training.tasks.classification import Classification

TASK = Classification(LABELS, 17)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    names = ["a", "b", "c", "d"]
    found = figures(reference.confusion_matrix(true, predicted, labels=range(4)), names)
    options = {"labels": range(4), "zero_division": 0}
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(true, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(true, predicted, average="macro", **options))
    expected = reference.precision_recall_fscore_support(true, predicted, **options)
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[key] for row in found["per_class"]] == pytest.approx(list(values))


def test_a_split_without_labelled_rows_has_no_figures() -> None:
    found = figures(np.zeros((2, 2), np.int64), LABELS)
    assert (found["rows"], found["accuracy"], found["macro_f1"]) == (0, None, None)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_ranks_counts_the_same(make_tiny_plan: PlanMaker, size: int) -> None:
    plan = make_tiny_plan()
    model = prepare(plan)[0].model
    alone = TASK.evaluate(model, SingleRing(), plan.shards_directory, "test")

    def work(ring: ThreadRing) -> dict:
        torch.set_num_threads(1)
        return TASK.evaluate(model, ring, plan.shards_directory, "test")

    for found in run_ranks(size, work):
        assert found == alone  # every bit, the loss as well
    assert alone["rows"] == ShardReader(plan.shards_directory, "test").rows_in_split
    low, high = alone["intervals"]["accuracy"]
    assert low <= alone["accuracy"] <= high and high - low < 0.5
    as_is, calibrated = alone["calibration"], alone["calibrated"]
    assert sum(row["rows"] for row in as_is["reliability"]) == alone["rows"]
    assert calibrated["brier_score"] <= as_is["brier_score"] + 1e-3  # the temperature was fit to these rows


def test_loss_and_predictions_are_those_of_one_row_at_a_time(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()
    model = prepare(plan)[0].model
    found = TASK.evaluate(model, SingleRing(), plan.shards_directory, "test")
    losses, confusion = [], np.zeros((2, 2), np.int64)
    for batch in ShardReader(plan.shards_directory, "test").rows():
        for ids, label in zip(batch.input_ids, batch.label_ids, strict=True):
            with torch.no_grad():
                logits = model(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).logits
            losses.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor([label]))))
            confusion[label, int(logits.argmax())] += 1
    assert found["confusion"] == confusion.tolist()
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_rows_without_label_are_counted_apart(tmp_path: Path, base_model: Path, make_tiny_plan: PlanMaker) -> None:
    model = prepare(make_tiny_plan())[0].model
    documents = made_documents(40)
    mixed = [item if number % 4 else item._replace(label_id=None) for number, item in enumerate(documents)]
    target = str(tmp_path / "mixed")
    build_shards(target, {"train": [], "validation": [], "test": mixed}, labels=LABELS, tokenizer=base_model)
    found = TASK.evaluate(model, SingleRing(), target, "test")
    assert (found["rows"], found["unlabelled"]) == (30, 10)


def test_baselines_learn_the_words_and_the_majority(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()
    found = label_baselines(plan.shards_directory, LABELS)
    assert found["tfidf_logistic_regression"]["accuracy"] > 0.9
    counts = [row["support"] for row in found["majority"]["per_class"]]
    assert found["majority"]["accuracy"] in [count / sum(counts) for count in counts]


def test_baselines_need_two_labels(tmp_path: Path, base_model: Path) -> None:
    target = str(tmp_path / "one")
    documents = [item._replace(label_id=0) for item in made_documents(20)]
    splits = {"train": documents[:10], "validation": [], "test": documents[10:]}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model)
    assert label_baselines(target, LABELS) == {}


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), max_size=20), most=st.integers(1, 200))
def test_padding_keeps_every_row_within_the_bound(lengths: list[int], most: int) -> None:
    rows = [np.arange(1, length + 1, dtype=np.int32) + 100 * index for index, length in enumerate(lengths)]
    found = {}
    for piece in padded_rows(rows, pad_token_id=0, max_tokens=most):
        assert piece.input_ids.numel() <= most or len(piece.rows) == 1
        assert int(piece.attention_mask.sum(1).max()) == piece.input_ids.shape[1]
        for row, ids, mask in zip(*piece, strict=True):
            assert not ids[mask == 0].any()
            found[int(row)] = ids[mask == 1].tolist()
    assert found == {index: row.tolist() for index, row in enumerate(rows)}
