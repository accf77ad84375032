"""Settings of what a classifier minimizes: the cross entropy, and what is added against overfitting."""

from __future__ import annotations

from typing import Literal

from mapring.settings.base import Section, output


class Objective(Section):
    """What a classifier minimizes; only with train.task=classify. Evaluations report the plain cross entropy always."""

    label_smoothing: float = output(
        0.0, description="Share of a label's probability that is spread over all classes.", ge=0, lt=1
    )
    class_weights: Literal["none", "balanced"] = output(
        "none",
        description="balanced weighs a row by rows / (classes * rows of its class) of the training split, so that each "
        "class counts alike.",
    )
    r_drop: float = output(
        0.0,
        description="Weight of the symmetric KL divergence between two passes with different dropout; 0 is one pass.",
        ge=0,
    )
    fgm: float = output(
        0.0,
        description="Norm of the adversarial change of each row's input embeddings; the loss is the mean of the clean "
        "and the changed one's. 0 is none.",
        ge=0,
    )
    mixup: float = output(
        0.0,
        description="Parameter of the Beta distribution by which the embeddings of pairs of rows are mixed; 0 is none.",
        ge=0,
    )
