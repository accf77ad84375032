"""Exact evaluation for any number of ranks: integers are summed over the ring, figures made from the sums.

A mean of the ranks' means would weight rows unequally, and padding the split to equal sizes would
count rows twice. Here every row is in exactly one lane and is counted exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.batches import Integers
from training.model import config_of
from training.padding import micro_batches
from training.reader import NO_LABEL, ShardReader
from training.ring import Ring

_PIECE_TOKENS = 2048  # cells of a padded piece: small pieces of sorted rows waste little on padding


def evaluate(model: nn.Module, ring: Ring, shards_directory: str, split: str, labels: Sequence[str]) -> dict[str, Any]:
    """Evaluate a model in fp32 on a split; the same result on every rank.

    Pieces are cut within lanes, so that they, too, are the same for any number of ranks.

    Returns:
        `rows`, `unlabelled`, `accuracy`, `macro_f1`, `loss` (mean cross entropy in nats),
        `confusion` (rows: true label) and `per_class`; figures are None for a split without labelled rows.
    """
    reader = ShardReader(shards_directory, split, rank=ring.rank, size=ring.size)
    counts = torch.zeros(len(labels) ** 2 + 1, dtype=torch.int64)  # confusion matrix, flat, then unlabelled rows
    loss = torch.zeros(1, dtype=torch.float64)
    pad = int(config_of(model).pad_token_id)
    model.eval()
    with torch.inference_mode():
        for rows in reader.rows():
            for piece in micro_batches(rows, pad, _PIECE_TOKENS):
                logits = model(input_ids=piece.input_ids, attention_mask=piece.attention_mask).logits  # (B, C)
                labelled = piece.labels != NO_LABEL
                cells = piece.labels[labelled] * len(labels) + logits.argmax(-1)[labelled]
                counts[:-1] += torch.bincount(cells, minlength=len(labels) ** 2)
                counts[-1] += int((~labelled).sum())
                loss += functional.cross_entropy(logits, piece.labels, reduction="sum").double()
    ring.allreduce_sum([counts, loss])
    confusion = counts[:-1].reshape(len(labels), len(labels)).numpy()
    rows_counted = int(confusion.sum())
    return {
        "unlabelled": int(counts[-1]),
        "loss": float(loss) / rows_counted if rows_counted else None,
        **figures(confusion, labels),
    }


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
