"""Classification of documents: one of several labels for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.exact_sums import fixed_point, mean_loss, pieces_of_split
from training.figures.classification import figures
from training.model import config_of
from training.padding import padded_rows
from training.reader import NO_LABEL, Batch
from training.ring import Ring
from training.tasks.interface import LogitsOfRows, Piece
from training.tasks.pairs import Relevance, piece_of


@dataclass(frozen=True)
class Classification(LogitsOfRows):
    """Documents with at most one label each. A loss is a sum over labelled rows."""

    labels: list[str]
    name = "classify"
    auto_class = "AutoModelForSequenceClassification"
    exports_onnx = True

    def model_settings(self) -> dict[str, Any]:
        """Names and number of the classes."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: number for number, name in enumerate(self.labels)},
            "problem_type": "single_label_classification",
        }

    def pieces(self, batch: Batch, model: nn.Module, _epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Rows sorted by length; the targets are `labels`, (B,) int64."""
        for padded in padded_rows(batch.input_ids, config_of(model).pad_token_id, max_tokens):
            yield piece_of(batch, padded, model, {"labels": torch.from_numpy(batch.label_ids[padded.rows])})

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Nothing to choose."""

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Cross entropy of the labelled rows, and their number."""
        logits, labels = model(**piece.inputs).logits, piece.targets["labels"]  # (B, C), (B,)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        return loss, float((labels != NO_LABEL).sum())

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Rows of the first label."""
        ids = np.arange(rows * length, dtype=np.int32).reshape(rows, length) % vocabulary
        return Batch(
            doc_ids=[""] * rows,
            input_ids=list(ids),
            label_ids=np.zeros(rows, np.int64),
            global_rows=rows,
            texts=[],
        )

    def evaluate(
        self, model: nn.Module, ring: Ring, shards_directory: str, split: str, _temperature: float | None = None
    ) -> dict[str, Any]:
        """Figures of the confusion matrix, `loss` (mean cross entropy in nats), and the rows that are `unlabelled`.

        Of pairs with two labels also what `Relevance` tells.
        """
        count = len(self.labels)
        counts = torch.zeros(count**2 + 2, dtype=torch.int64)  # confusion matrix, flat; unlabelled rows; loss
        relevance = Relevance(count)
        for batch, piece in pieces_of_split(self, model, ring, shards_directory, split):
            logits, labels = model(**piece.inputs).logits, piece.targets["labels"]  # (B, C), (B,)
            labelled = labels != NO_LABEL
            relevance.add(batch, logits[labelled], labels[labelled])
            cells = labels[labelled] * count + logits.argmax(-1)[labelled]
            counts[:-2] += torch.bincount(cells, minlength=count**2)
            counts[-2] += int((~labelled).sum())
            counts[-1] += fixed_point(functional.cross_entropy(logits, labels, reduction="sum"))
        ring.allreduce_sum([counts])
        confusion = counts[:-2].reshape(count, count).numpy()
        return {
            "unlabelled": int(counts[-2]),
            "loss": mean_loss(int(counts[-1]), int(confusion.sum())),
            **figures(confusion, self.labels),
            **relevance.figures(ring),
        }
