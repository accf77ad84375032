"""Settings of the filters: which rules drop documents, and at which thresholds."""

from __future__ import annotations

import difflib
from typing import Literal

from pydantic import field_validator, model_validator

from mapring.filter_rules import RULE_NAMES, rules_of
from mapring.languages import LANGUAGES
from mapring.settings.base import Section, output


class Filters(Section):
    """Rules that drop documents. Their numbers are stored, so that `mapring replay` can try other thresholds."""

    presets: tuple[Literal["gopher_quality", "gopher_repetition", "c4", "fineweb"], ...] = output(
        (), description="Published sets of rules with their published thresholds."
    )
    thresholds: dict[str, float] = output({}, description="Other thresholds, by the name of a rule that is in use.")
    languages: tuple[str, ...] = output((), description="Language codes to keep, such as en; none keeps all.")
    minimum_language_score: float = output(
        0.65, description="Least probability of a wanted language, as the language identifier gives it.", ge=0, le=1
    )
    minimum_words: int | None = output(None, description="Least number of words of a document.", ge=0)
    maximum_words: int | None = output(None, description="Largest number of words of a document.", ge=1)
    minimum_characters: int | None = output(None, description="Least number of characters of a document.", ge=0)
    maximum_characters: int | None = output(None, description="Largest number of characters of a document.", ge=1)
    blocklist: tuple[str, ...] = output(
        (), description="Phrases that a document must not hold, in any case, at word boundaries."
    )
    c4_lines: bool = output(
        False, description="First drop the lines that the C4 corpus drops; needs preprocess.normalization.keep_lines."
    )

    @field_validator("languages")
    @classmethod
    def _languages_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in value if code not in LANGUAGES]
        if unknown:
            raise ValueError(
                f"found {unknown[0]!r}, expected codes that the language identifier gives, such as en, de or zh"
            )
        return value

    @field_validator("blocklist")
    @classmethod
    def _phrases_hold_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not phrase.strip() for phrase in value):
            raise ValueError("found an empty phrase, which every document holds; remove it")
        return value

    @model_validator(mode="after")
    def _thresholds_are_of_rules(self) -> Filters:
        used = {rule.name for rule in rules_of(self.model_copy(update={"thresholds": {}}))}
        for name in self.thresholds:
            if name in used:
                continue
            if name in RULE_NAMES:
                raise ValueError(f"thresholds.{name}: the rule is not in use; add its preset or setting, or remove it")
            close = difflib.get_close_matches(name, RULE_NAMES, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"thresholds.{name}: unknown rule{hint}")
        return self
