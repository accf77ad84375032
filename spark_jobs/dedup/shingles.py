"""Texts to sets of shingle hashes: what two documents are compared by.

A shingle is a run of n words (or n characters, for scripts without spaces), lower-cased and without
punctuation. It is hashed to 64 bits in two steps that work on whole Arrow batches: every different
word once with BLAKE2b, then a run of words by a sum of products with fixed odd numbers, mixed as in
SplitMix64 (Steele et al. 2014). A collision between two given runs has probability 2**-64.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.dedup.canonical import canonical

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, SplitMix64's increment


class Shingles(NamedTuple):
    """The shingle sets of some texts: `hashes[offsets[i]:offsets[i + 1]]` are those of text i, sorted, each once."""

    hashes: Hashes
    offsets: Offsets

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    def to_arrow(self) -> pa.LargeListArray:
        """As lists of int64 (the same bits), the form that Spark knows."""
        return pa.LargeListArray.from_arrays(pa.array(self.offsets), pa.array(self.hashes.view(np.int64)))


def shingle(texts: pa.StringArray, *, unit: Literal["word", "character"], length: int) -> Shingles:
    """Shingle sets of texts without nulls; a text of fewer than `length` words or characters has none."""
    return unique(*_runs(*_units(texts, unit), length), len(texts))


def ngrams(
    texts: pa.StringArray, *, unit: Literal["word", "character"], length: int
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of every n-gram of every text, repeated ones too, and the position of that text.

    A text that is shorter than an n-gram has one: all of it. A text without letters and digits has none.
    """
    units, counts = _units(texts, unit)
    runs, owner = _runs(units, counts, length)
    short, short_owner = _short(units, counts, length)
    return np.concatenate([runs, short]), np.concatenate([owner, short_owner])


def hash_strings(texts: pa.StringArray) -> Hashes:
    """64 bits of the BLAKE2b digest of each string; every different one is hashed once."""
    if not len(texts):
        return np.empty(0, np.uint64)
    encoded = texts.dictionary_encode()
    hashes = np.array([_hash_string(text) for text in encoded.dictionary.to_pylist()], np.uint64)
    spread: Hashes = hashes[encoded.indices.to_numpy()]
    return spread


def mix(values: Hashes) -> Hashes:
    """SplitMix64's finalizer: every input bit reaches every output bit; a bijection."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def odd_numbers(count: int, seed: int = 0) -> Hashes:
    """`count` fixed pseudo-random odd numbers of 64 bits."""
    start = np.uint64((seed * 0xD1342543DE82EF95 + 1) % 2**64)
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    return mix(start + steps) | np.uint64(1)


def _units(texts: pa.StringArray, unit: Literal["word", "character"]) -> tuple[Hashes, Offsets]:
    return _words(canonical(texts)) if unit == "word" else _characters(canonical(texts))


def _words(texts: pa.StringArray) -> tuple[Hashes, Offsets]:
    """A hash of every word in order, and the number of words of each text."""
    lists = pc.split_pattern(texts, " ")
    per_word = hash_strings(lists.flatten())
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)  # splits into one empty word
    if empty.any():
        per_word = per_word[~np.repeat(empty, counts)]
        counts = np.where(empty, 0, counts)
    return per_word, counts


def _hash_string(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _characters(texts: pa.StringArray) -> tuple[Hashes, Offsets]:
    """A hash of every character but spaces, and their number in each text."""
    dense = pc.replace_substring(texts, " ", "")
    counts = pc.utf8_length(dense).to_numpy(zero_copy_only=False).astype(np.int64)
    points = np.frombuffer("".join(dense.to_pylist()).encode("utf-32-le"), np.uint32)
    return mix(points.astype(np.uint64) + np.uint64(_GOLDEN)), counts


def _runs(units: Hashes, counts: Offsets, length: int) -> tuple[Hashes, Offsets]:
    """A hash of every run of `length` units that lies in one text, and the position of that text."""
    owner = np.repeat(np.arange(len(counts)), counts)
    if len(units) < length:
        return units[:0], owner[:0]
    last = len(units) - length + 1
    total = np.zeros(last, np.uint64)
    for place, factor in enumerate(odd_numbers(length)):
        total += units[place : place + last] * factor
    inside = owner[:last] == owner[length - 1 :]
    return mix(total[inside]), owner[:last][inside]


def _short(units: Hashes, counts: Offsets, length: int) -> tuple[Hashes, Offsets]:
    """A hash of all units of each text that has some, but fewer than `length`, and the position of that text."""
    short = np.flatnonzero((counts > 0) & (counts < length))
    if not len(short):
        return units[:0], short
    own = counts[short]
    starts = np.cumsum(own) - own  # of each short text, among the units of all of them
    place = np.arange(own.sum()) - np.repeat(starts, own)
    at = np.repeat((np.cumsum(counts) - counts)[short], own) + place
    total = np.add.reduceat(units[at] * odd_numbers(length)[place], starts)
    return mix(total + own.astype(np.uint64) * np.uint64(_GOLDEN)), short


def unique(hashes: Hashes, owner: Offsets, texts: int) -> Shingles:
    """Sort the hashes of each text and drop repeated ones."""
    order = np.argsort(hashes)
    # By two bytes numpy sorts with a radix sort, so this takes two thirds of a lexsort's time.
    order = order[np.argsort(owner[order].astype(np.uint16 if texts <= 1 << 16 else np.int64), kind="stable")]
    hashes, owner = hashes[order], owner[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    counts = np.bincount(owner[first], minlength=texts)
    return Shingles(hashes[first], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
