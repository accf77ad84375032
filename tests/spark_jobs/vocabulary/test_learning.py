"""Counts scaled down for SentencePiece's unigram trainer: in proportion, in one order, without losing a character."""

from __future__ import annotations

import hashlib
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapring.errors import InputError
from spark_jobs.vocabulary import learning
from spark_jobs.vocabulary.learning import covered_characters, learn_pieces, scale, scaled_to, train_sentencepiece
from spark_jobs.vocabulary.words import count_words
from tests.spark_jobs.vocabulary.test_fast_tokenizer import TEXTS, source

UNIGRAM = source("unigram")
COUNTS = dict(count_words(pa.array(TEXTS), UNIGRAM))
SIZE = UNIGRAM.vocabulary_size - 6


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**12), min_size=1), st.data())
def test_scaled_counts_have_the_sum_asked_for_and_keep_their_proportions(
    counts: dict[str, int], data: st.DataObject
) -> None:
    of = sum(counts.values())
    total = data.draw(st.integers(1, min(of, 10_000)))
    scaled = scale(counts, total)
    assert sum(scaled.values()) == total and min(scaled.values()) > 0
    for word, count in counts.items():
        assert abs(scaled.get(word, 0) * of - count * total) < of  # less than 1 from its share, in whole numbers
    assert scale(dict(reversed(counts.items())), total) == scaled


def test_rare_words_stay_as_a_share_of_all() -> None:
    """Each alone is 0.25 and would be rounded to nothing."""
    rare = {f"w{number:04}": 1 for number in range(1000)}
    scaled = scale({"the": 1000, **rare}, 500)
    assert scaled["the"] == 250 and len(scaled) == 251 and set(scaled.values()) == {250, 1}


def test_few_words_are_learned_from_as_they_are() -> None:
    """The digest is of what was learned before there was any scaling."""
    digest = hashlib.sha256(repr(learn_pieces(COUNTS, UNIGRAM, SIZE)).encode()).hexdigest()
    assert scaled_to(COUNTS, UNIGRAM) is None
    assert digest[:16] == "7054395c1d111cca"


def test_only_unigram_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "UNIGRAM_WORDS", sum(COUNTS.values()))
    assert scaled_to(COUNTS, UNIGRAM) is None
    monkeypatch.setattr(learning, "UNIGRAM_WORDS", sum(COUNTS.values()) - 1)
    assert scaled_to(COUNTS, UNIGRAM) == sum(COUNTS.values()) - 1
    assert scaled_to(COUNTS, source("bpe")) is None


def test_a_rare_character_keeps_its_token_and_frequent_words_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {**{word: count * 1000 for word, count in COUNTS.items()}, **dict.fromkeys(("\u2581Ж", "\u2581Щ"), 1)}
    monkeypatch.setattr(learning, "UNIGRAM_WORDS", 2000)
    assert not {"\u2581Ж", "\u2581Щ"} <= set(scale(counts, 2000)), "the only word of one is not learned from"
    learned = learn_pieces(counts, UNIGRAM, SIZE)
    assert {character for word in counts for character in word} <= {piece for piece, _ in learned}
    assert "\u2581teacher" in dict(learned)
    items = list(counts.items())
    for seed in range(3):
        assert learn_pieces(dict(random.Random(seed).sample(items, len(items))), UNIGRAM, SIZE) == learned


def test_with_less_coverage_the_same_characters_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    partly = source("unigram", character_coverage=0.99)
    counts = {**{word: count * 1000 for word, count in COUNTS.items()}, "\u2581caЖts": 5}
    covered = set(covered_characters(counts, 0.99))
    for limit in (10**9, 500):
        monkeypatch.setattr(learning, "UNIGRAM_WORDS", limit)
        learned = learn_pieces(counts, partly, SIZE)
        assert {character for piece, _ in learned for character in piece} == covered
        assert {piece for piece, _ in learned} >= covered and "Ж" not in covered


def test_no_room_for_the_characters_is_refused_before_scaling_hides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = {f"\u2581{chr(code)}": 1 for code in range(0x400, 0x450)}
    monkeypatch.setattr(learning, "UNIGRAM_WORDS", 1000)
    small = source("unigram", vocabulary_size=80)
    with pytest.raises(InputError, match=r"vocabulary_size: found 80, expected at least 90 for the characters"):
        train_sentencepiece({"\u2581the": 10**6, **rare}, small, 74)
