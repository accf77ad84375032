"""Shingle sets and signatures: equal for equal words, exact for sets, close for similarities."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.dedup.minhash import _blocks, band_keys, signatures
from spark_jobs.dedup.shingles import Shingles, ngrams, shingle

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d\u00e9", "\u4e2d"]), max_size=12)


def sets_of(texts: list[str], *, unit: str = "word", length: int = 2) -> list[set[int]]:
    found = shingle(pa.array(texts, pa.string()), unit=unit, length=length)  # type: ignore[arg-type]
    ends = zip(found.offsets[:-1], found.offsets[1:], strict=True)
    return [set(found.hashes[first:last].tolist()) for first, last in ends]


def jaccard(first: set[int], second: set[int]) -> float:
    return len(first & second) / len(first | second)


@given(st.lists(WORDS, min_size=1, max_size=8), st.integers(1, 4))
def test_sets_are_those_of_word_tuples(documents: list[list[str]], length: int) -> None:
    found = sets_of([" ".join(words) for words in documents], length=length)
    expected = [{tuple(words[i : i + length]) for i in range(len(words) - length + 1)} for words in documents]
    assert [len(item) for item in found] == [len(item) for item in expected]
    for i, first in enumerate(expected):
        for j, second in enumerate(expected):
            assert len(found[i] & found[j]) == len(first & second)


def test_case_punctuation_and_spaces_do_not_count() -> None:
    plain, dirty = sets_of(["the quick brown fox", '  The, QUICK   "brown"-fox! '])
    assert plain == dirty and len(plain) == 3


def test_a_text_shorter_than_a_shingle_has_none() -> None:
    assert sets_of(["one two", "", "...", "one two three"], length=3) == [
        set(),
        set(),
        set(),
        sets_of(["one two three"], length=3)[0],
    ]


def test_characters_are_for_scripts_without_spaces() -> None:
    one, two, three = sets_of(["我喜欢看电影", "我 喜欢,看电影", "完全不同的句子"], unit="character", length=2)
    assert one == two and len(one) == 5
    assert not one & three


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_batches_do_not_change_a_set(cut: int) -> None:
    texts = ["a b c d", "c d e", "", "a b c d"]
    together = sets_of(texts)
    assert sets_of(texts[:cut]) + sets_of(texts[cut:]) == together


def test_signatures_estimate_the_similarity() -> None:
    texts = [" ".join(f"w{i}" for i in range(start, start + 200)) for start in (0, 10, 40, 100, 1000)]
    shingles = shingle(pa.array(texts), unit="word", length=5)
    sets = sets_of(texts, length=5)
    found = np.concatenate([signatures(shingles, 256, seed) for seed in range(0, 16, 2)], axis=1)
    for i in range(len(texts)):
        for j in range(i):
            assert (found[i] == found[j]).mean() == pytest.approx(jaccard(sets[i], sets[j]), abs=0.03)


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts = pa.array([" ".join(f"{i}x{j}" for j in range(i % 40)) for i in range(300)])
    whole = signatures(shingle(texts, unit="word", length=3), 16, 7)
    parts = [signatures(shingle(texts[i : i + 7], unit="word", length=3), 16, 7) for i in range(0, 300, 7)]
    assert (whole == np.concatenate(parts)).all()
    assert (signatures(shingle(texts, unit="word", length=3), 16, 8) != whole).any()


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=12))
def test_blocks_cover_every_text_once(lengths: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    blocks = _blocks(Shingles(np.zeros(0, np.uint64), offsets))
    assert blocks[0][0] == 0 and blocks[-1][1] == len(lengths)
    assert all(first < last for first, last in blocks)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(blocks))


def test_bands_are_equal_where_their_rows_are_and_never_between_bands() -> None:
    found = np.array([[1, 2, 3, 4], [1, 2, 9, 4], [3, 4, 1, 2]], np.uint32)
    keys = band_keys(found, 2)
    assert keys.shape == (3, 2)
    assert keys[0, 0] == keys[1, 0] and keys[0, 1] != keys[1, 1]
    assert keys[0, 0] != keys[2, 1], "the same rows in another band are another key"


@given(st.lists(WORDS, min_size=1, max_size=8), st.integers(1, 4))
def test_ngrams_are_those_of_word_tuples_and_a_short_text_is_one(documents: list[list[str]], length: int) -> None:
    hashes, owner = ngrams(pa.array([" ".join(words) for words in documents], pa.string()), unit="word", length=length)
    found = [hashes[owner == index].tolist() for index in range(len(documents))]
    expected = [
        [tuple(words[i : i + length]) for i in range(max(1, len(words) - length + 1))] if words else []
        for words in documents
    ]
    assert [len(item) for item in found] == [len(item) for item in expected]
    names = {name for item in expected for name in item}
    pairs = {pair for one, two in zip(expected, found, strict=True) for pair in zip(one, two, strict=True)}
    assert len(pairs) == len(names) == len({number for _, number in pairs}), "a tuple has one hash, a hash one tuple"
