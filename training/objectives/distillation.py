"""What a student minimizes: the labels' loss and how far its answers are from a teacher's (Hinton et al. 2015)."""

from __future__ import annotations

import torch
from torch.nn import functional

from mapring.settings.distillation import Distillation
from training.objectives.classification import ClassificationObjective
from training.rows import NO_LABEL


def distilled_loss(
    objective: ClassificationObjective,
    settings: Distillation,
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, float]:
    """Sum of (1 - weight) * cross entropy + weight * T**2 * KL(teacher at T || student at T), and of rows' weights.

    Rows without a label are learned from as well: they have the teacher's part alone. Rows count by the weight of
    their class, those without a label once, and in the mean over all of them. T**2 keeps the gradients of the teacher's
    part as large as they are at temperature 1.

    Args:
        objective: whose cross entropy is the labels' part, with its smoothing and class weights.
        settings: weight and temperature T.
        student: logits in fp32, (B, C).
        teacher: constant logits in fp32, (B, C).
        labels: int64 (B,), NO_LABEL where a row has none.
    """
    hard, weights = objective.cross_entropy(student, labels)
    counts = torch.where(labels == NO_LABEL, 1.0, weights)
    soft = (counts * _divergence(teacher, student, settings.temperature)).sum()
    return (1 - settings.weight) * hard + settings.weight * soft, float(counts.double().sum())


def _divergence(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """T**2 times the KL divergence of the student's distribution from the teacher's, both at T; (B,)."""
    found = functional.kl_div(
        functional.log_softmax(student / temperature, -1),
        functional.log_softmax(teacher / temperature, -1),
        log_target=True,
        reduction="none",
    )
    return temperature**2 * found.sum(-1)
