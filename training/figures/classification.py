"""Figures of classification, with one label a row and with any number of labels.

Precision, recall and F1 are those of van Rijsbergen (1979); macro, micro and weighted means as in scikit-learn,
where a ratio with nothing below the line is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from training.batches import Integers
from training.figures.fixed_point import Floats

Booleans = npt.NDArray[np.bool_]


class MultilabelCounts(NamedTuple):
    """What a rank counts of rows with any number of labels; to be summed over the ranks."""

    per_label: Integers  # (labels, 3): true positives, false positives, false negatives
    rows: Integers  # (2,): rows whose labels are all right, rows


def figures(confusion: Integers, labels: Sequence[str]) -> dict[str, Any]:
    """Figures of a confusion matrix of shape (true labels, predicted labels).

    Returns:
        `rows`, `accuracy`, `macro_f1`, `micro_f1` (the accuracy, as every row has one label), `weighted_f1` (weights
        are the classes' rows), `confusion`, and `per_class`; means are None without rows.
    """
    total, hits = int(confusion.sum()), np.diag(confusion)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    f1 = f1_scores(hits, predicted, support)
    return {
        "rows": total,
        "accuracy": float(hits.sum() / total) if total else None,
        "macro_f1": float(f1.mean()) if total else None,
        "micro_f1": float(f1_scores(hits.sum(), predicted.sum(), support.sum())) if total else None,
        "weighted_f1": float((f1 * support).sum() / total) if total else None,
        "confusion": confusion.tolist(),
        "per_class": _report(hits, predicted, support, labels),
    }


def multilabel_counts(true: npt.ArrayLike, predicted: npt.ArrayLike) -> MultilabelCounts:
    """Count the labels of rows, which both arrays hold as booleans of shape (rows, labels).

    Raises:
        StageError: the shapes differ.
    """
    expected, answer = np.asarray(true, np.bool_), np.asarray(predicted, np.bool_)
    if expected.shape != answer.shape or expected.ndim != 2:
        raise StageError(
            f"found labels of shape {expected.shape} and predictions of shape {answer.shape}, expected the same "
            "(rows, labels) for both; compare the model's labels with those of the shards"
        )
    per_label = np.stack([(expected & answer).sum(0), (~expected & answer).sum(0), (expected & ~answer).sum(0)], axis=1)
    exact = int((expected == answer).all(axis=1).sum())
    return MultilabelCounts(per_label.astype(np.int64), np.array([exact, len(expected)], np.int64))


def multilabel_figures(counts: MultilabelCounts, labels: Sequence[str]) -> dict[str, Any]:
    """Figures of the summed counts.

    Returns:
        `rows`, `subset_accuracy` (share of rows whose labels are all right), `macro_f1`, `micro_f1`, and `per_label`;
        means are None without rows.
    """
    hits, wrong, missed = counts.per_label.T
    exact, total = (int(count) for count in counts.rows)
    predicted, support = hits + wrong, hits + missed
    return {
        "rows": total,
        "subset_accuracy": exact / total if total else None,
        "macro_f1": float(f1_scores(hits, predicted, support).mean()) if total else None,
        "micro_f1": float(f1_scores(hits.sum(), predicted.sum(), support.sum())) if total else None,
        "per_label": _report(hits, predicted, support, labels),
    }


def f1_scores(hits: Integers, predicted: Integers, support: Integers) -> Floats:
    """The harmonic mean of precision and recall, from counts of any shape; 0 where there is nothing to find.

    Args:
        hits: true positives.
        predicted: true and false positives.
        support: true positives and false negatives.
    """
    return np.asarray(2 * hits / np.maximum(predicted + support, 1))


def _report(hits: Integers, predicted: Integers, support: Integers, labels: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each label, from counts of shape (labels,)."""
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = f1_scores(hits, predicted, support)
    return [
        {
            "label": label,
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(support[index]),
        }
        for index, label in enumerate(labels)
    ]
