"""Rules that drop documents by measured numbers, the published presets of them, and their verdict.

A *measure* is a number that is computed once from a document and stored; a *rule* is a bound on a
measure. So other bounds can be tried on the stored numbers, without reading any text again.
A document is dropped by the first rule, in the order given here, whose bounds it lies outside of. A value that equals
the bound stays, in every preset (FineWeb's paper drops it for three of its rules; Gopher's keeps it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from mapring.settings.filters import Filters

Measures = Mapping[str, npt.NDArray[np.float32]]
WANTED = "wanted_language"  # the language score where the language is a wanted one, else 0


@dataclass(frozen=True)
class Rule:
    """Documents whose `measure` is less than `minimum` or more than `maximum` are dropped."""

    name: str
    measure: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def threshold(self) -> float:
        """The one bound; a rule has exactly one."""
        bound = self.minimum if self.minimum is not None else self.maximum
        assert bound is not None
        return bound

    def with_threshold(self, value: float) -> Rule:
        """The same rule with another bound."""
        return replace(self, minimum=value) if self.minimum is not None else replace(self, maximum=value)

    def fails(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Which documents it drops; a bound is compared in the precision of what is stored."""
        bound = np.float32(self.threshold)
        return values < bound if self.minimum is not None else values > bound


def written(value: float) -> str:
    """A measure or bound as people read it: a whole number with all its digits, else six significant ones."""
    number = float(value)
    return str(int(number)) if number.is_integer() else f"{number:.6g}"


# Rae et al. 2021 (Gopher), appendix A.1.1, quality filtering.
GOPHER_QUALITY = (
    Rule("gopher_too_few_words", "words", minimum=50),
    Rule("gopher_too_many_words", "words", maximum=100_000),
    Rule("gopher_words_too_short", "mean_word_length", minimum=3),
    Rule("gopher_words_too_long", "mean_word_length", maximum=10),
    Rule("gopher_hashes", "hashes_per_word", maximum=0.1),
    Rule("gopher_ellipses", "ellipses_per_word", maximum=0.1),
    Rule("gopher_bullet_lines", "bullet_line_share", maximum=0.9),
    Rule("gopher_ellipsis_lines", "ellipsis_line_share", maximum=0.3),
    Rule("gopher_alphabetic_words", "alphabetic_word_share", minimum=0.8),
    Rule("gopher_stop_words", "stop_words", minimum=2),
)

# The same, table A1, repetition removal.
GOPHER_REPETITION = (
    Rule("gopher_duplicate_paragraphs", "duplicate_paragraph_share", maximum=0.30),
    Rule("gopher_duplicate_paragraph_characters", "duplicate_paragraph_character_share", maximum=0.20),
    Rule("gopher_duplicate_lines", "duplicate_line_share", maximum=0.30),
    Rule("gopher_duplicate_line_characters", "duplicate_line_character_share", maximum=0.20),
    *(
        Rule(f"gopher_top_{n}_grams", f"top_{n}_gram_share", maximum=bound)
        for n, bound in ((2, 0.20), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f"gopher_duplicate_{n}_grams", f"duplicate_{n}_gram_share", maximum=bound)
        for n, bound in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    ),
)

# Raffel et al. 2020 (T5), section 2.2, as printed in JMLR: at least 3 sentences, counted
# nearly as there (spark_jobs/filters/sentences.py). Lines are cleaned apart (c4_lines).
C4 = (
    Rule("c4_sentences", "sentences", minimum=3),
    Rule("c4_lorem_ipsum", "lorem_ipsum", maximum=0),
    Rule("c4_curly_brackets", "curly_brackets", maximum=0),
)

# Penedo et al. 2024 (FineWeb), section 3.6; line breaks per word is from the code published with it, which on
# the other hand has 0.01 for the characters of duplicate lines where the paper has 0.1: the paper decides.
FINEWEB = (
    Rule("fineweb_punctuated_lines", "punctuated_line_share", minimum=0.12),
    Rule("fineweb_short_lines", "short_line_share", maximum=0.67),
    Rule("fineweb_duplicate_line_characters", "duplicate_line_character_share", maximum=0.1),
    Rule("fineweb_line_breaks", "line_breaks_per_word", maximum=0.3),
)

PRESETS: Mapping[str, tuple[Rule, ...]] = {
    "gopher_quality": GOPHER_QUALITY,
    "gopher_repetition": GOPHER_REPETITION,
    "c4": C4,
    "fineweb": FINEWEB,
}
OTHER_NAMES = (
    "language",
    "too_few_words",
    "too_many_words",
    "too_few_characters",
    "too_many_characters",
    "blocklist",
)
RULE_NAMES = (*OTHER_NAMES, *(rule.name for preset in PRESETS.values() for rule in preset))


def rules_of(settings: Filters) -> tuple[Rule, ...]:
    """The rules of some settings, in the order in which they drop: language, lengths, blocklist, presets."""
    rules = [
        Rule("language", WANTED, minimum=settings.minimum_language_score) if settings.languages else None,
        _bounded("too_few_words", "words", minimum=settings.minimum_words),
        _bounded("too_many_words", "words", maximum=settings.maximum_words),
        _bounded("too_few_characters", "characters", minimum=settings.minimum_characters),
        _bounded("too_many_characters", "characters", maximum=settings.maximum_characters),
        Rule("blocklist", "blocklisted", maximum=0) if settings.blocklist else None,
        *(rule for preset in PRESETS if preset in settings.presets for rule in PRESETS[preset]),
    ]
    chosen = settings.thresholds
    return tuple(
        rule.with_threshold(chosen[rule.name]) if rule.name in chosen else rule for rule in rules if rule is not None
    )


def _bounded(name: str, measure: str, *, minimum: float | None = None, maximum: float | None = None) -> Rule | None:
    return None if minimum is None and maximum is None else Rule(name, measure, minimum, maximum)


def measures_of(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The measures to store for some rules, sorted, each once; a wanted language is told from a score and a code."""
    return tuple(sorted({"language_score" if rule.measure == WANTED else rule.measure for rule in rules}))


def judge(
    measures: Measures, languages: pa.StringArray | None, rules: Sequence[Rule], settings: Filters, count: int
) -> tuple[npt.NDArray[np.int64], Measures]:
    """For each of `count` documents the position of the first rule that drops it, or -1; and what the rules saw.

    Args:
        measures: stored numbers, each of shape (count,).
        languages: stored language codes, where a rule asks for languages.
        rules: in the order in which they drop.
        settings: the wanted languages.
        count: number of documents.
    """
    seen = dict(measures)
    if any(rule.measure == WANTED for rule in rules):
        wanted = pc.fill_null(pc.is_in(languages, pa.array(settings.languages, pa.string())), False)
        seen[WANTED] = np.where(wanted.to_numpy(zero_copy_only=False), measures["language_score"], np.float32(0))
    verdict = np.full(count, -1, np.int64)
    for position, rule in reversed(list(enumerate(rules))):
        verdict[rule.fails(seen[rule.measure])] = position
    return verdict, seen
