"""The measures of a batch of texts: one number for each text, stored as float32.

Where datatrove's published code differs from the paper, the paper decides, and the code only where the paper is
silent:

- A share of lines is one of the lines that are not empty. Duplicate lines are weighed against the characters of
  all lines, without line breaks (as in datatrove's FineWeb filter; its Gopher filter counts the line breaks).
- Short lines have less than 30 characters (paper), not at most 30 (code).
- The characters in duplicate n-grams count once each, also where such n-grams overlap (paper); the code walks from
  left to right, passes over overlapping ones, and leaves out spaces. Words here are without spaces too.
- Stop words are counted by kind: two different ones make 2 (as in the code; "at least two of the following words").
- Symbols, and words with a letter, are weighed against words and runs of symbols alike (code); lengths and numbers
  of words leave symbols out.
- Lines that end in a terminal mark may end in quotation marks or brackets behind it, and the marks of Chinese,
  Japanese, Arabic, Urdu and Hindi count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.filter_rules import Measures
from mapring.settings.normalization import UnicodeForm
from spark_jobs.filters.language import identify_languages
from spark_jobs.filters.pieces import Batch, Floats
from spark_jobs.filters.repetition import DUPLICATE, TOP, ngram_measures
from spark_jobs.filters.sentences import count_sentences

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Rae et al. 2021, appendix A.1.1
SHORT_LINE = 30  # characters; Penedo et al. 2024, section 3.6
_ENDS = r"[.!?\x{2026}\x{3002}\x{ff01}\x{ff1f}\x{ff0e}\x{061f}\x{06d4}\x{0964}][\"'\x{2019}\x{201d})\]]*$"


@dataclass(frozen=True)
class Measured:
    """Measures by name, and the language of each text where it was asked for."""

    values: Measures
    languages: pa.StringArray | None


def measure(
    texts: pa.StringArray, wanted: Collection[str], *, blocklist: Sequence[str] = (), unicode_form: UnicodeForm = "NFC"
) -> Measured:
    """The wanted measures of texts without nulls, each computed once; `unicode_form` is that of the texts."""
    batch = Batch(texts)
    found = {name: _MEASURES[name](batch) for name in wanted if name in _MEASURES}
    if any(name in wanted for name in NGRAM_MEASURES):
        found.update(ngram_measures(batch, wanted))
    if "blocklisted" in wanted:
        found["blocklisted"] = batch.occurrences(_blocklist_pattern(blocklist, unicode_form))
    values = {name: column.astype(np.float32) for name, column in found.items()}
    codes: pa.StringArray | None = None
    if "language_score" in wanted:
        codes, values["language_score"] = identify_languages(texts)
    return Measured(values, codes)


def _blocklist_pattern(phrases: Sequence[str], unicode_form: UnicodeForm) -> str:
    """One pattern for all phrases, in any case, at word boundaries, with any white space between words.

    Marks are parts of words: many scripts write vowels by them.
    """
    phrases = sorted(unicodedata.normalize(unicode_form, phrase) for phrase in phrases)
    alternatives = "|".join(r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in phrases)
    return rf"(?i)(?:^|[^\p{{L}}\p{{M}}\p{{N}}_])(?:{alternatives})(?:$|[^\p{{L}}\p{{M}}\p{{N}}_])"


def _mean_word_length(batch: Batch) -> Floats:
    return batch.tokens.sums(batch.tokens.lengths * batch.is_word) / np.maximum(batch.words, 1)


def _per_token(pattern: str) -> Callable[[Batch], Floats]:
    return lambda batch: batch.occurrences(pattern) / np.maximum(batch.tokens.totals, 1)


def _stop_words(batch: Batch) -> Floats:
    """How many different stop words a text has, written in lower case as published."""
    tokens = batch.tokens
    is_stop = pc.is_in(tokens.unique, pa.array(STOP_WORDS)).to_numpy(zero_copy_only=False)
    mask = is_stop[tokens.codes] & ~tokens.repeated if len(tokens.codes) else np.zeros(0, bool)
    return np.bincount(tokens.owner[mask], minlength=batch.count).astype(np.float64)


def _line_share(pattern: str) -> Callable[[Batch], Floats]:
    return lambda batch: batch.lines.shares(batch.lines.matching(pattern))


def _duplicate_line_characters(batch: Batch) -> Floats:
    return batch.lines.repeated_sums(batch.lines.lengths) / np.maximum(batch.lines.sums(batch.lines.lengths), 1)


def _duplicate_paragraph_characters(batch: Batch) -> Floats:
    return batch.paragraphs.repeated_sums(batch.paragraphs.lengths) / np.maximum(batch.characters, 1)


_MEASURES: dict[str, Callable[[Batch], Floats]] = {
    "characters": lambda batch: batch.characters,
    "words": lambda batch: batch.words,
    "mean_word_length": _mean_word_length,
    "hashes_per_word": _per_token("#"),
    "ellipses_per_word": _per_token(r"\.\.\.|\x{2026}"),
    "bullet_line_share": _line_share(r"^[\x{2022}-]"),
    "ellipsis_line_share": _line_share(r"(?:\.\.\.|\x{2026})$"),
    "alphabetic_word_share": lambda batch: batch.tokens.shares(batch.tokens.matching(r"\p{L}")),
    "stop_words": _stop_words,
    "duplicate_line_share": lambda batch: batch.lines.repeated_sums() / np.maximum(batch.lines.totals, 1),
    "duplicate_line_character_share": _duplicate_line_characters,
    "duplicate_paragraph_share": lambda batch: (
        batch.paragraphs.repeated_sums() / np.maximum(batch.paragraphs.totals, 1)
    ),
    "duplicate_paragraph_character_share": _duplicate_paragraph_characters,
    "sentences": lambda batch: count_sentences(batch.texts),
    "lorem_ipsum": lambda batch: batch.occurrences("(?i)lorem ipsum"),
    "curly_brackets": lambda batch: batch.occurrences("[{}]"),
    "punctuated_line_share": _line_share(_ENDS),
    "short_line_share": lambda batch: batch.lines.shares(batch.lines.lengths < SHORT_LINE),
    "line_breaks_per_word": lambda batch: batch.occurrences("\n") / np.maximum(batch.words, 1),
}
NGRAM_MEASURES = (*(f"top_{n}_gram_share" for n in TOP), *(f"duplicate_{n}_gram_share" for n in DUPLICATE))
