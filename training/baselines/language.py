"""The baseline of language models: how often each token is, whatever stands around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from training.baselines.texts import MAX_TRAIN_ROWS
from training.batches import Integers
from training.exact_sums import pieces_of_split
from training.figures.language import language_figures, likelihood_sums
from training.model import config_of
from training.ring.single import SingleRing
from training.tasks.interface import Task


def language_baselines(task: Task, model: nn.Module, shards_directory: str) -> dict[str, Any]:
    """`unigram`: frequencies of the tokens that are predicted in training, each counted once more (Laplace).

    Returns:
        Figures of `language_figures` on the tokens that the model itself is evaluated on, `accuracy` and `rows`; empty
        where either split has none.
    """
    train_rows, train = _predicted_tokens(task, model, shards_directory, "train", MAX_TRAIN_ROWS)
    rows, test = _predicted_tokens(task, model, shards_directory, "test", None)
    if not train.sum() or not test.sum():
        return {}
    nats = float(-(test * np.log((train + 1) / (train + 1).sum())).sum())
    figures = language_figures(likelihood_sums([nats], [int(test.sum())], [0]))
    accuracy = float(test[train.argmax()] / test.sum())
    return {"unigram": {"train_rows": train_rows, "rows": rows, "accuracy": accuracy, **figures}}


def _predicted_tokens(
    task: Task, model: nn.Module, shards_directory: str, split: str, most: int | None
) -> tuple[int, Integers]:
    """Rows, and how often each token of the vocabulary is to be predicted in them, shape (V,)."""
    rows, counts = 0, np.zeros(int(config_of(model).vocab_size), np.int64)
    for _, piece in pieces_of_split(task, model, SingleRing(), shards_directory, split):
        rows += len(piece.rows)
        counts += np.bincount(piece.targets["tokens"].numpy(), minlength=len(counts))
        if most is not None and rows >= most:
            break
    return rows, counts
