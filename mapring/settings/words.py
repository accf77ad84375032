"""Settings of words: how texts become bags of words, and what is counted of them."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from mapring.settings.base import Section, output


class Words(Section):
    """Words for counts, TF-IDF and vocabularies. They never change the text that is kept."""

    statistics: bool = output(True, description="Count words, n-grams and top terms of kept documents.")
    segmenter: Literal["unicode", "chinese"] = output(
        "unicode", description="unicode takes runs of letters and digits, chinese also parts them by a dictionary."
    )
    lowercase: bool = output(True, description="Count words in lower case.")
    stop_words: tuple[str, ...] = output(
        (), description="Codes of languages, such as en or zh, whose stop words are left out."
    )
    minimum_length: int = output(1, description="Least number of characters of a word.", ge=1)
    most_words: int = output(
        100_000, description="Most rows of the table of words; n-grams and terms are made of these.", ge=1, le=1_000_000
    )
    longest_ngram: int = output(3, description="Words of the longest n-grams counted; 1 counts none.", ge=1, le=3)
    most_ngrams: int = output(20_000, description="Most rows of the table of n-grams, for each length.", ge=1)
    top_terms: int = output(50, description="Terms of highest TF-IDF kept for each label and each source.", ge=0)

    @field_validator("stop_words")
    @classmethod
    def _languages_are_known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if not codes:
            return codes
        from stopwordsiso import langs

        known = langs()
        unknown = [code for code in codes if code not in known]
        if unknown:
            raise ValueError(
                f"found {unknown[0]!r}, which has no list of stop words; use some of: {', '.join(sorted(known))}"
            )
        return codes
