"""What a classifier minimizes: cross entropy, with weights of classes, smoothed labels, three regularizers, contrast.

All of them can be combined. A loss is a sum over rows and its weight the sum of the rows' class weights, so that sums
over ranks give the weighted mean, as torch's `cross_entropy` has it.

- R-Drop (Liang et al. 2021): two passes; the mean of both cross entropies, and `r_drop` times half the sum of the two
  KL divergences, with each row's class weight.
- Mixup of word embeddings (Guo et al. 2019): both passes see the same mixed rows; each row counts for its own label
  and for its partner's, by their shares.
- The fast gradient method (Miyato et al. 2017): one more pass on embeddings moved against the first pass's cross
  entropy. The loss is the mean of the clean and the adversarial one, where the paper has their sum: so learning rate
  and clipping mean what they do without it.
- Supervised contrast (Khosla et al. 2020), on the first pass: `contrast` times each row's loss, with its class weight;
  see `contrast.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from mapring.settings.objective import Objective
from training.objectives.contrast import contrast_of_rows
from training.objectives.embeddings import adversarial_shift, draw_mixture, run_pass
from training.rows import NO_LABEL


class _Aim(NamedTuple):
    """Labels, int64 (B,), and how much each row counts for its own, float32 (B,); None for all of it."""

    labels: torch.Tensor
    share: torch.Tensor | None


@dataclass(frozen=True)
class ClassificationObjective:
    """The loss of a piece of rows by the settings of `train.objective`.

    `class_weights` has one for each class; None where all are 1. They are counted, so they come later than the rest.
    `classes`, how many there are, is needed for contrast only, which looks for the output layer by it.
    """

    settings: Objective = field(default_factory=Objective)
    class_weights: tuple[float, ...] | None = None
    classes: int | None = None

    def weighing(self, class_weights: Sequence[float]) -> ClassificationObjective:
        """The same with these weights of classes."""
        return replace(self, class_weights=tuple(class_weights))

    def __call__(
        self,
        model: nn.Module,
        inputs: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        groups: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, float]:
        """Sum of the losses of labelled rows, and of their weights.

        Args:
            model: in training mode.
            inputs: its keyword arguments.
            labels: int64 (B,), NO_LABEL where a row has none.
            groups: int64 (B,), of rows that are contrasted with each other; None is one group.
        """
        settings = self.settings
        aims, mixture = [_Aim(labels, None)], None
        if settings.mixup:
            mixture = draw_mixture(len(labels), settings.mixup, labels.device)
            aims = [_Aim(labels, mixture.share), _Aim(labels[mixture.partner], 1 - mixture.share)]
        weights = self._row_weights(aims)
        first = run_pass(
            model,
            inputs,
            mixture=mixture,
            keep_embeddings=settings.fgm > 0,
            view_classes=self.classes if settings.contrast else None,
        )
        first_loss = loss = self._cross_entropy(first.logits, aims)
        if settings.r_drop:
            second = run_pass(model, inputs, mixture=mixture)
            loss = (first_loss + self._cross_entropy(second.logits, aims)) / 2
            loss = loss + settings.r_drop * (weights * _divergence(first.logits, second.logits)).sum()
        if first.embeddings is not None:
            shift = adversarial_shift(first_loss, first.embeddings, settings.fgm)
            moved = run_pass(model, inputs, mixture=mixture, shift=shift)
            loss = (loss + self._cross_entropy(moved.logits, aims)) / 2
        if first.views is not None:
            groups = torch.zeros_like(labels) if groups is None else groups
            contrast = contrast_of_rows(first.views, labels, groups, settings.contrast_temperature)
            loss = loss + settings.contrast * (weights * contrast).sum()
        return loss, float(weights.double().sum())

    def cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the losses of labelled rows in one plain pass, and how much each row counts, (B,), 0 without a label.

        Args:
            logits: (B, C).
            labels: int64 (B,), NO_LABEL where a row has none.
        """
        aims = [_Aim(labels, None)]
        return self._cross_entropy(logits, aims), self._row_weights(aims)

    def _cross_entropy(self, logits: torch.Tensor, aims: Sequence[_Aim]) -> torch.Tensor:
        parts = []
        for labels, share in aims:
            of_rows = functional.cross_entropy(
                logits,
                labels,
                weight=self._weight_tensor(logits.device),
                ignore_index=NO_LABEL,
                label_smoothing=self.settings.label_smoothing,
                reduction="sum" if share is None else "none",
            )
            parts.append(of_rows if share is None else (share * of_rows).sum())
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    def _row_weights(self, aims: Sequence[_Aim]) -> torch.Tensor:
        """How much each row counts in the mean, (B,)."""
        total = torch.zeros(len(aims[0].labels), device=aims[0].labels.device)
        weight = self._weight_tensor(total.device)
        for labels, share in aims:
            is_labelled = labels != NO_LABEL
            own = is_labelled.float() if weight is None else weight[labels.clamp_min(0)] * is_labelled
            total += own if share is None else share * own
        return total

    def _weight_tensor(self, device: torch.device) -> torch.Tensor | None:
        return None if self.class_weights is None else torch.tensor(self.class_weights, device=device)


def _divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Half the sum of the two KL divergences between the rows' distributions, (B,)."""
    first_log, second_log = functional.log_softmax(first, -1), functional.log_softmax(second, -1)
    return ((first_log.exp() - second_log.exp()) * (first_log - second_log)).sum(-1) / 2
