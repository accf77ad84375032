"""Multi-label classification of documents: any number of several labels for each, also none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.batches import Integers
from training.exact_sums import fixed_point, mean_loss, pieces_of_split
from training.figures import intervals
from training.figures.classification import MultilabelCounts, multilabel_counts, multilabel_figures
from training.model import config_of
from training.padding import padded_rows
from training.reader import Batch
from training.ring import Ring
from training.tasks.interface import LogitsOfLabels, OnOutput, Piece, ignore
from training.tasks.made_rows import made_batch
from training.tasks.pairs import piece_of


@dataclass(frozen=True)
class Multilabel(LogitsOfLabels):
    """Documents with a set of labels each; every label is a question of its own (binary relevance).

    A loss is a sum over labelled rows and over all labels.
    """

    labels: list[str]
    seed: int
    name = "multilabel"
    problem_type = "multi_label_classification"

    def pieces(self, batch: Batch, model: nn.Module, _epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Rows sorted by length; the targets are `labels`, float32 (B, L), and which rows are `labelled`, (B,)."""
        for padded in padded_rows(batch.input_ids, config_of(model).pad_token_id, max_tokens):
            targets = {
                "labels": torch.from_numpy(self._indicators(batch, padded.rows)),
                "labelled": torch.from_numpy(batch.is_labelled[padded.rows]),
            }
            yield piece_of(batch, padded, model, targets)

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Binary cross entropy of the labelled rows, and their number times that of the labels."""
        logits = self.output(model, piece.inputs)  # (B, L)
        return _cross_entropy(logits, piece), float(piece.targets["labelled"].sum()) * len(self.labels)

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Rows of the first label."""
        return made_batch(rows, length, vocabulary, label_sets=[np.zeros(1, np.int32)] * rows)

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        _temperature: float | None = None,
        on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """Figures of the labels that have a probability above 0.5, `loss`, and the rows that are `unlabelled`.

        `loss` is the mean binary cross entropy in nats over labelled rows and labels.
        """
        count = len(self.labels)
        per_label, rows = torch.zeros(count, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
        others = torch.zeros(2, dtype=torch.int64)  # unlabelled rows, loss
        replicates = torch.zeros(intervals.REPLICATES, count, 3, dtype=torch.int64)
        for batch, piece in pieces_of_split(self, model, ring, shards_directory, split):
            logits, labelled = self.output(model, piece.inputs), piece.targets["labelled"]  # (B, L), (B,)
            on_output(logits.cpu())
            predicted = (logits[labelled] > 0).cpu()  # where the sigmoid is above 0.5
            true, doc_ids = piece.targets["labels"][labelled].cpu().numpy(), [batch.doc_ids[row] for row in piece.rows]
            doc_ids = [doc_id for doc_id, counted in zip(doc_ids, labelled.tolist(), strict=True) if counted]
            drawn = intervals.multilabel_replicates(doc_ids, true, predicted.numpy(), seed=self.seed)
            replicates += torch.from_numpy(drawn)
            found = multilabel_counts(true, predicted.numpy())
            per_label += torch.from_numpy(found.per_label)
            rows += torch.from_numpy(found.rows)
            others[0] += int((~labelled).sum())
            others[1] += fixed_point(_cross_entropy(logits, piece))
        ring.allreduce_sum([per_label, rows, others, replicates])
        weighed = replicates.numpy()
        return {
            "unlabelled": int(others[0]),
            "loss": mean_loss(int(others[1]), int(rows[1]) * count),
            **multilabel_figures(MultilabelCounts(per_label.numpy(), rows.numpy()), self.labels),
            "intervals": {
                "macro_f1": intervals.ends(intervals.macro_f1s(weighed)),
                "micro_f1": intervals.ends(intervals.micro_f1s(weighed)),
            },
        }

    def _indicators(self, batch: Batch, rows: Integers) -> Any:
        """1 where a row has a label, float32 (B, L)."""
        found = np.zeros((len(rows), len(self.labels)), np.float32)
        for line, row in enumerate(rows.tolist()):
            found[line, batch.label_sets[row]] = 1
        return found


def _cross_entropy(logits: torch.Tensor, piece: Piece) -> torch.Tensor:
    labels, labelled = piece.targets["labels"], piece.targets["labelled"]
    return functional.binary_cross_entropy_with_logits(logits[labelled].float(), labels[labelled], reduction="sum")
