"""Figures of a classification, made from counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.batches import Integers


def figures(confusion: Integers, labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro-F1 and per-class figures of a confusion matrix of shape (true labels, predicted labels).

    A ratio with nothing below the line is 0, as scikit-learn has it.
    """
    total, hits = int(confusion.sum()), np.diag(confusion)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * hits / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    return {
        "rows": total,
        "accuracy": float(hits.sum() / total) if total else None,
        "macro_f1": float(f1.mean()) if total else None,
        "confusion": confusion.tolist(),
        "per_class": [
            {
                "label": label,
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(confusion[index].sum()),
            }
            for index, label in enumerate(labels)
        ],
    }
