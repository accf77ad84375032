"""Settings of drafts: who writes them, and what it is given to continue."""

from __future__ import annotations

from pydantic import field_validator

from mapring.prompt import Prompt
from mapring.settings.base import Section, output

FIELDS = ("text", "label", "answer", "answers")  # of a prompt


class Draft(Section):
    """An answer drafted by a decoder for rows that have one from the bank; written as `generation` says."""

    model: str = output(
        description="Who writes: a published model of task clm, a run directory with one, or a transformers directory "
        "of a decoder; its content counts, not its place."
    )
    prompt: str = output(
        description="What it is given to continue, as its training texts begin: {text} is the row's, {label} its "
        "label, {answer} the text of the nearest template, {answers} those of all that are found, a line each."
    )

    @field_validator("prompt")
    @classmethod
    def _prompt_is_sound(cls, value: str) -> str:
        if "text" not in Prompt(value, FIELDS).fields:
            raise ValueError(f"found {value!r} without {{text}}, by which rows would all get one draft; add it")
        return value

    @property
    def template(self) -> Prompt:
        """The prompt, read."""
        return Prompt(self.prompt, FIELDS)
