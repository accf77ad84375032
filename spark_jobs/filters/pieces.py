"""A batch of texts cut into words, lines and paragraphs, once for all measures, in flat arrays.

A measure over pieces is a number for each *different* piece, spread over its occurrences and summed by
text: no Python loop over words.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_WORD = r"([\p{L}\p{M}\p{N}_]+(?:['\x{2019}][\p{L}\p{M}]+)*)"
_WHITE_SPACE = r"[\s\x0b\x{0085}\p{Z}]+"


class Pieces:
    """Pieces of `count` texts, in order: `codes` into the different `unique` pieces, and the `owner` of each."""

    def __init__(self, lists: pa.ListArray, count: int) -> None:
        flat = lists.flatten().dictionary_encode()
        owner = np.repeat(np.arange(count), pc.list_value_length(lists).to_numpy(zero_copy_only=False))
        codes = flat.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.unique: pa.StringArray = flat.dictionary
        filled = pc.not_equal(self.unique, "").to_numpy(zero_copy_only=False)
        keep = filled[codes] if len(codes) else np.zeros(0, bool)
        self.codes: Integers = codes[keep]
        self.owner: Integers = owner[keep]
        self.count = count

    @cached_property
    def lengths(self) -> Integers:
        """Characters of each different piece."""
        return np.asarray(pc.utf8_length(self.unique).to_numpy(zero_copy_only=False), np.int64)

    @cached_property
    def totals(self) -> Floats:
        """Number of pieces of each text."""
        return np.bincount(self.owner, minlength=self.count).astype(np.float64)

    def matching(self, pattern: str) -> npt.NDArray[np.bool_]:
        """Which of the different pieces match an RE2 pattern."""
        return np.asarray(pc.match_substring_regex(self.unique, pattern).to_numpy(zero_copy_only=False), bool)

    def sums(self, values: npt.NDArray[np.generic]) -> Floats:
        """Sum over each text of a value of each different piece."""
        weights = values[self.codes] if len(self.codes) else np.zeros(0)
        return np.bincount(self.owner, weights, minlength=self.count).astype(np.float64)

    def shares(self, values: npt.NDArray[np.generic]) -> Floats:
        """The same sum divided by the number of pieces; 0 where there is none."""
        return self.sums(values) / np.maximum(self.totals, 1)

    @cached_property
    def repeated(self) -> npt.NDArray[np.bool_]:
        """Which pieces have stood in their text before."""
        order = np.lexsort((self.codes, self.owner))
        codes, owner = self.codes[order], self.owner[order]
        again = np.zeros(len(order), bool)
        again[1:] = (codes[1:] == codes[:-1]) & (owner[1:] == owner[:-1])
        result = np.zeros(len(order), bool)
        result[order] = again
        return result

    def repeated_sums(self, values: npt.NDArray[np.generic] | None = None) -> Floats:
        """Number of repeated pieces of each text, or the sum of a value of them."""
        mask = self.repeated
        weights = None if values is None else values[self.codes[mask]]
        return np.bincount(self.owner[mask], weights, minlength=self.count).astype(np.float64)


class Batch:
    """Texts without nulls, and their pieces as they are asked for."""

    def __init__(self, texts: pa.StringArray) -> None:
        self.texts = texts
        self.count = len(texts)

    @cached_property
    def characters(self) -> Floats:
        """Characters of each text."""
        return np.asarray(pc.utf8_length(self.texts).to_numpy(zero_copy_only=False), np.float64)

    @cached_property
    def tokens(self) -> Pieces:
        """Words and runs of other characters between them (punctuation, symbols), each a piece.

        A word is a run of letters, marks, digits and underscores, with apostrophes inside; unlike the
        tokenizer of the Penn Treebank it does not part "don't" or "U.S.".
        """
        spaced = pc.replace_substring_regex(self.texts, _WORD, r" \1 ")
        return Pieces(pc.split_pattern_regex(spaced, _WHITE_SPACE), self.count)

    @cached_property
    def is_word(self) -> npt.NDArray[np.bool_]:
        """Which different tokens are words."""
        return self.tokens.matching(r"[\p{L}\p{N}]")

    @cached_property
    def words(self) -> Floats:
        """Words of each text, without symbols."""
        return self.tokens.sums(self.is_word)

    @cached_property
    def lines(self) -> Pieces:
        """Lines that are not empty, trimmed."""
        return Pieces(pc.split_pattern_regex(self.texts, r"[ \t]*\n\s*"), self.count)

    @cached_property
    def paragraphs(self) -> Pieces:
        """What empty lines part."""
        return Pieces(pc.split_pattern_regex(self.texts, r"\n[ \t]*\n\s*"), self.count)

    def occurrences(self, pattern: str) -> Floats:
        """How often an RE2 pattern occurs in each text."""
        return np.asarray(pc.count_substring_regex(self.texts, pattern).to_numpy(zero_copy_only=False), np.float64)
