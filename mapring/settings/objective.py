"""Settings of what a classifier minimizes: the cross entropy, and what is added against overfitting."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

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
    contrast: float = output(
        0.0,
        description="Weight of the supervised contrastive loss, which draws texts of one label together and those of "
        "others apart, among the rows of a lane in the global batch; 0 is none.",
        is_late=True,
        ge=0,
    )
    contrast_temperature: float = output(
        0.1,
        description="What cosine similarities are divided by in it; lower ones look at the nearest more.",
        is_late=True,
        gt=0,
    )

    @model_validator(mode="after")
    def _contrast_has_one_label_a_row(self) -> Objective:
        if self.contrast and self.mixup:
            raise ValueError("contrast: found it with mixup, whose rows have two labels; set one of the two to 0")
        default = type(self).model_fields["contrast_temperature"].default
        if self.contrast_temperature != default and not self.contrast:
            raise ValueError("contrast_temperature: found it without contrast; set contrast, or remove it")
        return self
