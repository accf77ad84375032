"""Measures on examples small enough to be computed by hand; the computation stands beside each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapring.filter_rules import PRESETS, measures_of
from spark_jobs.filters.measuring import STOP_WORDS, measure

EVERY_MEASURE = (*measures_of([rule for rules in PRESETS.values() for rule in rules]), "characters")


def one(name: str, text: str, **options: tuple[str, ...]) -> float:
    return float(measure(pa.array([text]), (name,), **options).values[name][0])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("characters", "añb 猫", 5),  # a ñ b space 猫
        ("words", "Don't stop, U.S. - 42 times!", 6),  # Don't stop U S 42 times; marks are no words
        ("words", "...", 0),
        ("words", "", 0),
        ("mean_word_length", "a bb, cccc", (1 + 2 + 4) / 3),
        ("mean_word_length", "!!!", 0),
        ("hashes_per_word", "# a b #c", 2 / 5),  # tokens: # a b # c
        ("ellipses_per_word", "wait... what… no", 2 / 5),  # tokens: wait ... what … no
        ("bullet_line_share", "• a\n- b\nc\n\n  - d", 3 / 4),  # the empty line does not count
        ("ellipsis_line_share", "a...\nb…\nc.\nd", 2 / 4),
        ("alphabetic_word_share", "a 1 b2 -", 2 / 4),  # a and b2 of a 1 b2 -
        ("stop_words", "the cat and the dog", 2),  # the, and: different ones
        ("stop_words", "The AND of", 1),  # as published, lower case
        ("stop_words", " ".join(STOP_WORDS), 8),
        ("sentences", "One. Two! Three? 3.5 is no end", 3),
        ("sentences", 'He said "no." Then left.', 2),
        ("sentences", "一。二！三", 2),
        ("lorem_ipsum", "Lorem ipsum dolor, LOREM IPSUM", 2),
        ("curly_brackets", "f() { return {} }", 4),
        ("punctuated_line_share", 'a.\nb!\n"c?"\nd\n结束。', 4 / 5),
        ("short_line_share", f"{'a' * 29}\n{'b' * 30}", 1 / 2),  # shorter than 30
        ("line_breaks_per_word", "a b\nc\n\nd e", 3 / 5),
    ],
)
def test_measures_of_words_and_lines(name: str, text: str, expected: float) -> None:
    assert one(name, text) == np.float32(expected)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("duplicate_line_share", "aa\nb\naa\naa", 2 / 4),  # the 2nd and 3rd aa
        ("duplicate_line_character_share", "aa\nb\naa\naa", 4 / 7),  # 2 + 2 of 2 + 1 + 2 + 2
        ("duplicate_paragraph_share", "p\n\nq\n\np", 1 / 3),
        ("duplicate_paragraph_character_share", "pp\n\nq\n\npp", 2 / 9),  # of all 9 characters
        ("duplicate_line_share", "a\nb", 0),
        ("top_2_gram_share", "a b a b c", 2 * 3 / 9),  # "a b" twice, 3 characters each
        ("top_2_gram_share", "a b c d e", 0),  # none occurs twice
        ("top_2_gram_share", "a b x a b y cc dd x cc dd", 2 * 5 / 25),  # equally frequent: the longest, "cc dd"
        ("top_3_gram_share", "a b c x a b c", 2 * 5 / 13),
        ("top_4_gram_share", "a b c d x a b c d", 2 * 7 / 17),
        ("duplicate_5_gram_share", "a b c d e x a b c d e", 5 / 21),  # five words, once more
        ("duplicate_6_gram_share", "a b c d e x a b c d e", 0),
        ("duplicate_5_gram_share", "a b c d e f a b c d e f", 6 / 23),  # two overlapping ones cover six words
        ("duplicate_6_gram_share", "a b c d e f a b c d e f", 6 / 23),
        ("duplicate_5_gram_share", "a a a a a a a", 6 / 13),  # runs from the 2nd and 3rd word cover six of seven
        ("duplicate_10_gram_share", "a b c d e f g h i j - a b c d e f g h i j", 10 / 41),
    ],
)
def test_measures_of_repetition(name: str, text: str, expected: float) -> None:
    assert one(name, text) == np.float32(expected)


def test_ngrams_do_not_reach_from_one_text_into_the_next() -> None:
    found = measure(pa.array(["a b", "a b", "b a b"]), ("top_2_gram_share", "duplicate_5_gram_share")).values
    assert found["top_2_gram_share"].tolist() == [0, 0, 0]
    joined = measure(pa.array(["a b c", "d e a b c d e"]), ("duplicate_5_gram_share",)).values
    assert joined["duplicate_5_gram_share"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("phrases", "text", "expected"),
    [
        (("spam",), "Spam, SPAM and antispam", 2),  # in any case, at word boundaries
        (("buy now",), "Buy \n now!", 1),  # any white space between words
        (("c++",), "I write c++ daily", 1),  # no pattern but a phrase
        (("über",), "ÜBER alles", 1),
        (("spam", "eggs"), "spam or eggs", 2),
        (("spam",), "spammer spam_x 1spam", 0),
        (("राम",), "यह रामायण है", 0),  # a vowel sign goes on with the word
        (("राम",), "यह राम है", 1),
        (("คน",), "\u0e01\u0e31คน", 0),  # as does one in front
        (("cafe\u0301",), "un café noir", 1),  # written in two characters here, in one there
        (("café",), "un café noir", 1),
    ],
)
def test_a_blocklist_is_matched_as_words(phrases: tuple[str, ...], text: str, expected: int) -> None:
    assert one("blocklisted", text, blocklist=phrases) == expected


def test_phrases_are_in_the_unicode_form_of_the_texts() -> None:
    texts = pa.array(["the ofﬁce"])
    assert measure(texts, ("blocklisted",), blocklist=("ofﬁce",)).values["blocklisted"][0] == 1
    for text in ("the office", "office"):
        found = measure(pa.array([text]), ("blocklisted",), blocklist=("ofﬁce",), unicode_form="NFKC")
        assert found.values["blocklisted"][0] == 1


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab .\n-#", max_size=60), max_size=5)


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_measures_are_finite_and_those_of_one_text_do_not_hang_on_the_batch(texts: list[str]) -> None:
    whole = measure(pa.array(texts, pa.string()), EVERY_MEASURE).values
    for name in EVERY_MEASURE:
        values = whole[name]
        assert values.dtype == np.float32 and np.isfinite(values).all() and (values >= 0).all()
        assert values.tolist() == [one(name, text) for text in texts]
        if name.endswith("_share") and not name.startswith("top_"):
            assert (values <= 1).all()
