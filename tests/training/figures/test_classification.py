"""Figures of classification are scikit-learn's; those of one label a row stand in test_evaluate.py as well."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as reference

from mapring.errors import StageError
from tests.training.figures.splitting import RANKS, SEEDS, summed
from training.figures.classification import MultilabelCounts, figures, multilabel_counts, multilabel_figures

NAMES = ["a", "b", "c", "d"]


def made_labels(seed: int, rows: int, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    true = generator.random((rows, labels)) < generator.random(labels)
    return true, true ^ (generator.random((rows, labels)) < 0.2)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_means_over_classes_are_those_of_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    true, predicted = generator.integers(0, 4, (2, int(generator.integers(1, 50))))
    found = figures(reference.confusion_matrix(true, predicted, labels=range(4)), NAMES)
    for average in ("macro", "micro", "weighted"):
        expected = reference.f1_score(true, predicted, average=average, labels=range(4), zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["micro_f1"] == found["accuracy"]


def test_a_confusion_matrix_by_hand() -> None:
    found = figures(np.array([[3, 1], [2, 4]]), ["no", "yes"])
    assert found["accuracy"] == 0.7
    assert found["per_class"][1] == {"label": "yes", "precision": 0.8, "recall": 4 / 6, "f1": 8 / 11, "support": 6}
    assert found["weighted_f1"] == pytest.approx((4 * 6 / 9 + 6 * 8 / 11) / 10)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_figures_of_several_labels_are_those_of_scikit_learn(seed: int) -> None:
    true, predicted = made_labels(seed, rows=1 + seed % 40)
    found = multilabel_figures(multilabel_counts(true, predicted), NAMES)
    assert found["rows"] == len(true)
    assert found["subset_accuracy"] == pytest.approx(reference.accuracy_score(true, predicted))
    for average in ("macro", "micro"):
        expected = reference.f1_score(true, predicted, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    report = reference.precision_recall_fscore_support(true, predicted, zero_division=0)
    for key, values in zip(("precision", "recall", "f1", "support"), report, strict=True):
        assert [row[key] for row in found["per_label"]] == pytest.approx(list(values))


@given(seed=SEEDS, ranks=RANKS)
def test_several_labels_are_counted_alike_by_any_number_of_ranks(seed: int, ranks: int) -> None:
    columns = made_labels(seed, rows=30)
    for field in MultilabelCounts._fields:
        together = summed(
            partial(lambda name, *parts: getattr(multilabel_counts(*parts), name), field), columns, ranks, seed
        )
        assert together.tolist() == getattr(multilabel_counts(*columns), field).tolist()


def test_no_rows_have_no_figures() -> None:
    found = multilabel_figures(multilabel_counts(np.zeros((0, 2)), np.zeros((0, 2))), ["a", "b"])
    assert (found["rows"], found["subset_accuracy"], found["macro_f1"], found["micro_f1"]) == (0, None, None, None)


def test_other_labels_than_the_model_s_are_refused() -> None:
    with pytest.raises(StageError, match=r"found labels of shape \(3, 2\) and predictions of shape \(3, 4\)"):
        multilabel_counts(np.zeros((3, 2)), np.zeros((3, 4)))
