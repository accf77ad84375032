"""Settings of distillation: a trained classifier that another one learns from."""

from __future__ import annotations

from pydantic import model_validator

from mapring.settings.base import Section, output


class Distillation(Section):
    """A trained classifier to learn from besides the labels (Hinton et al. 2015); plain text is its directory."""

    text_key = "teacher"

    teacher: str | None = output(
        None,
        description="Published model, or transformers directory of a classifier, for the same labels and tokenizer; "
        "its content counts, not its place.",
    )
    weight: float = output(
        0.5, description="Share of the loss that is the teacher's; the labels' is the rest.", gt=0, le=1
    )
    temperature: float = output(
        2.0,
        description="What logits of both are divided by before they are compared; higher ones look at all labels.",
        gt=0,
    )

    @model_validator(mode="after")
    def _is_of_a_teacher(self) -> Distillation:
        for key in ("weight", "temperature"):
            if key in self.model_fields_set and self.teacher is None:
                raise ValueError(
                    f"found {key} without teacher, expected the directory of one; set teacher, or remove it"
                )
        return self
