"""Classification of documents: one of several labels for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.exact_sums import NO_EPOCH, fixed_point, pieces_of_split
from training.model import config_of
from training.objectives import ClassificationObjective
from training.padding import PaddedRows, padded_rows, whole_groups
from training.reader import NO_LABEL, Batch
from training.ring import Ring
from training.tasks.interface import LogitsOfLabels, OnOutput, Piece, ignore
from training.tasks.label_outputs import LabelOutputs, figures_over_ring
from training.tasks.made_rows import made_batch
from training.tasks.pairs import piece_of
from training.tasks.relevance import RankedPairs, are_pairs, figures_of_two_labels


@dataclass(frozen=True)
class Classification(LogitsOfLabels):
    """Documents with at most one label each. A loss is a sum over labelled rows."""

    labels: list[str]
    seed: int
    objective: ClassificationObjective = field(default_factory=ClassificationObjective)
    name = "classify"
    problem_type = "single_label_classification"

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Contrasting rows looks at all tokens of the last block; else as all classifiers do."""
        if not self.objective.settings.contrast:
            super().settle(model, piece)

    def pieces(self, batch: Batch, model: nn.Module, epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Rows sorted by length; the targets are `labels`, (B,) int64.

        Where a training contrasts rows, those of a lane are in one piece, and `groups`, (B,), numbers the lanes.
        """
        pad = config_of(model).pad_token_id
        if not self.objective.settings.contrast or epoch == NO_EPOCH:
            for padded in padded_rows(batch.input_ids, pad, max_tokens):
                yield piece_of(batch, padded, model, self.targets(batch, padded))
            return
        groups = np.repeat(np.arange(len(batch.lane_rows)), batch.lane_rows)  # (rows,)
        for padded in whole_groups(batch.input_ids, batch.lane_rows, pad, max_tokens):
            own = {"groups": torch.from_numpy(groups[padded.rows])}
            yield piece_of(batch, padded, model, {**self.targets(batch, padded), **own})

    def targets(self, batch: Batch, padded: PaddedRows) -> dict[str, torch.Tensor]:
        """What the loss of padded rows is made from."""
        return {"labels": torch.from_numpy(batch.label_ids[padded.rows])}

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """What the objective says of the labelled rows, and their number or weights: by default the cross entropy."""
        return self.objective(model, piece.inputs, piece.targets["labels"], piece.targets.get("groups"))

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Rows of the first label."""
        return made_batch(rows, length, vocabulary)

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        temperature: float | None = None,
        on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """Figures of the confusion matrix, intervals and calibration; see `label_outputs.figures_over_ring`.

        Of pairs with two labels also `relevance.figures_of_two_labels`.
        """
        pairs = RankedPairs() if len(self.labels) == 2 and are_pairs(shards_directory) else None
        outputs = self._outputs(model, ring, shards_directory, split, pairs, on_output)
        found = figures_over_ring(ring, outputs, self.labels, seed=self.seed, temperature=temperature)
        return {**found, **(figures_of_two_labels(ring, pairs) if pairs else {})}

    def _outputs(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        pairs: RankedPairs | None,
        on_output: OnOutput,
    ) -> LabelOutputs:
        doc_ids: list[str] = []
        labels, logits = [np.zeros(0, np.int64)], [np.zeros((0, len(self.labels)))]
        unlabelled = loss = 0
        for batch, piece in pieces_of_split(self, model, ring, shards_directory, split, text=pairs is not None):
            found, expected = model(**piece.inputs).logits, piece.targets["labels"]  # (B, C), (B,)
            loss += fixed_point(functional.cross_entropy(found, expected, reduction="sum"))
            found, expected = found.cpu(), expected.cpu()
            on_output(found)
            labelled = (expected != NO_LABEL).numpy()
            unlabelled += int((~labelled).sum())
            doc_ids += [batch.doc_ids[row] for row in piece.rows[labelled]]
            labels.append(expected.numpy()[labelled])
            logits.append(found.double().numpy()[labelled])
            if pairs:
                pairs.add(batch, piece.rows[labelled], logits[-1][:, 1] - logits[-1][:, 0], labels[-1])
        return LabelOutputs(doc_ids, np.concatenate(labels), np.concatenate(logits), unlabelled, loss)
