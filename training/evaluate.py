"""Exact evaluation for any number of ranks: integers are summed over the ring, figures made from the sums.

A mean of the ranks' means would weight rows unequally, and padding the split to equal sizes would
count rows twice. Here every row is in exactly one lane and is counted exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.figures.classification import figures as figures  # baselines take it from here
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
