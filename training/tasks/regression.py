"""Regression of documents: one number for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from training.exact_sums import fixed_point, mean_loss, pieces_of_split
from training.figures.regression import regression_figures
from training.model import config_of
from training.padding import padded_rows
from training.reader import Batch
from training.ring import Ring
from training.targets import TargetScale
from training.tasks.interface import LogitsOfRows, OnOutput, Piece, ignore
from training.tasks.made_rows import made_batch
from training.tasks.pairs import piece_of
from training.tasks.raw_scale import fold_raw_scale, use_raw_scale
from training.tasks.relevance import RankedPairs, are_pairs, figures_of_targets


@dataclass(frozen=True)
class Regression(LogitsOfRows):
    """Documents with a number each; the model gives numbers in the same unit, before and behind the training.

    A loss is a sum over labelled rows of squared errors, in units of the training targets' variance.
    """

    scale: TargetScale
    name = "regression"
    auto_class = "AutoModelForSequenceClassification"
    exports_onnx = True

    @property
    def labels(self) -> list[str]:
        """There are none."""
        return []

    def model_settings(self) -> dict[str, Any]:
        """One output."""
        return {"num_labels": 1, "problem_type": "regression"}

    def prepare(self, model: nn.Module) -> None:
        """Let the output layer give numbers in the unit of the targets."""
        use_raw_scale(model, self.scale)

    def finish(self, model: nn.Module) -> None:
        """Bring that into the output layer's own weights."""
        fold_raw_scale(model)

    def pieces(self, batch: Batch, model: nn.Module, _epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Rows sorted by length; the targets are `targets`, (B,) float64, NaN where a row has none."""
        for padded in padded_rows(batch.input_ids, config_of(model).pad_token_id, max_tokens):
            yield piece_of(batch, padded, model, {"targets": torch.from_numpy(batch.targets[padded.rows])})

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Squared error of the labelled rows, over the targets' variance; and the number of these rows."""
        labelled = ~piece.targets["targets"].isnan()
        return self._squared_error(self.output(model, piece.inputs), piece), float(labelled.sum())

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Rows of the mean target."""
        return made_batch(rows, length, vocabulary, targets=np.full(rows, self.scale.mean))

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        _temperature: float | None = None,
        on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """Figures of `regression_figures` in the unit of the targets, `loss`, and the rows that are `unlabelled`.

        `loss` is the mean squared error over the variance of the training targets. Three scalars a row are gathered.
        Of pairs also `relevance.figures_of_targets`.
        """
        pairs = RankedPairs() if are_pairs(shards_directory) else None
        doc_ids: list[str] = []
        predictions, targets = [np.zeros(0)], [np.zeros(0)]
        units = unlabelled = 0
        for batch, piece in pieces_of_split(self, model, ring, shards_directory, split, text=pairs is not None):
            logits, expected = self.output(model, piece.inputs), piece.targets["targets"].cpu().numpy()
            on_output(logits.cpu())
            labelled = ~np.isnan(expected)  # (B,), of logits (B, 1)
            doc_ids += [batch.doc_ids[row] for row in piece.rows[labelled]]
            predictions.append(logits[:, 0].double().cpu().numpy()[labelled])
            targets.append(expected[labelled])
            unlabelled += int((~labelled).sum())
            units += fixed_point(self._squared_error(logits, piece))
            if pairs:
                pairs.add(batch, piece.rows[labelled], predictions[-1], targets[-1])
        gathered = ring.allgather_object((doc_ids, np.concatenate(predictions), np.concatenate(targets)))
        keys = [key for own, _, _ in gathered for key in own]
        found, true = (np.concatenate([own[column] for own in gathered]) for column in (1, 2))
        counts = ring.allgather_object((units, unlabelled))
        return {
            "unlabelled": sum(own for _, own in counts),
            "loss": mean_loss(sum(own for own, _ in counts), len(keys)),
            **regression_figures(keys, found, true),
            **(figures_of_targets(ring, pairs) if pairs else {}),
        }

    def _squared_error(self, logits: torch.Tensor, piece: Piece) -> torch.Tensor:
        """Sum over labelled rows, fp32, from logits (B, 1)."""
        targets = piece.targets["targets"]
        labelled = ~targets.isnan()
        errors = (logits[labelled, 0].float() - targets[labelled].float()) / self.scale.deviation
        return (errors**2).sum()
