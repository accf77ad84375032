"""Perturbations: functions of (text, id, seed), never to an empty text, never through the middle of a character."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapring.errors import SettingsError
from mapring.perturbation import (
    KINDS,
    drop_words,
    lower_case,
    perturb,
    swap_words,
    title_case,
    typos,
    upper_case,
)

WORDS = " ".join(f"word{number}" for number in range(100))
CHINESE = "\u6211\u4eec\u5728\u5317\u4eac\u5403\u70e4\u9e2d\uff0c\u5929\u6c14\u5f88\u597d\u3002"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
NAMED = {"doc_id": "0a1b", "seed": 3}
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(["the", "Cat", "e\u0301te\u0301", CHINESE, FAMILY, "\n", "a", "x1", "!", "\u0e19\u0e49\u0e33"])
    ).map(" ".join),
)


@given(text=TEXTS, kind=st.sampled_from(KINDS), doc_id=st.text(max_size=5), seed=st.integers(), share=st.floats(0, 1))
@example(text="a", kind="drop_words", doc_id="", seed=0, share=1.0)
@example(text="\u6211", kind="typos", doc_id="", seed=0, share=1.0)
@example(text=" \u3000\n", kind="drop_words", doc_id="", seed=0, share=1.0)
def test_a_text_stays_a_text(text: str, kind: str, doc_id: str, seed: int, share: float) -> None:
    found = perturb(text, kind, doc_id=doc_id, seed=seed, share=share)
    assert found == perturb(text, kind, doc_id=doc_id, seed=seed, share=share)
    assert bool(found) == bool(text)
    assert bool(found.strip()) == bool(text.strip())
    if share == 0 and not kind.endswith("_case"):
        assert found == text


@given(text=TEXTS, seed=st.integers(0, 99), share=st.floats(0.01, 1))
def test_swaps_keep_every_character_and_the_space_between(text: str, seed: int, share: float) -> None:
    found = swap_words(text, doc_id="a", seed=seed, share=share)
    assert Counter(found) == Counter(text)
    assert re.findall(r"\s+", found) == re.findall(r"\s+", text)
    if len(set(text.split())) > 1 and text.isascii():
        assert found != text


@given(text=TEXTS, seed=st.integers(0, 99), share=st.floats(0.01, 1))
def test_drops_only_leave_out(text: str, seed: int, share: float) -> None:
    found = drop_words(text, doc_id="a", seed=seed, share=share)
    rest = iter(text)
    assert all(character in rest for character in found)  # a subsequence
    if len(text.split()) > 1:
        assert len(found.split()) <= len(text.split())
        assert found != text


@given(text=TEXTS, seed=st.integers(0, 99))
def test_typos_change_a_text_that_has_letters(text: str, seed: int) -> None:
    found = typos(text, doc_id="a", seed=seed)
    assert (found != text) == any(character.isalnum() for character in text)


def test_the_share_is_that_of_the_words() -> None:
    for share in (0.05, 0.1, 0.5, 1.0):
        changed = typos(WORDS, **NAMED, share=share).split()
        assert sum(new != old for new, old in zip(changed, WORDS.split(), strict=True)) == round(100 * share)
        assert len(drop_words(WORDS, **NAMED, share=share).split()) == max(1, 100 - round(100 * share))
        moved = swap_words(WORDS, **NAMED, share=share).split()
        expected = 2 * round(50 * share)
        found = sum(new != old for new, old in zip(moved, WORDS.split(), strict=True))
        assert found == expected if share <= 0.5 else found > 60  # pairs taken at random leave single words over


def test_one_typing_error_is_one_edit() -> None:
    kinds = Counter()
    for seed in range(300):
        found = typos("Hamburger", doc_id="a", seed=seed)
        if sorted(found) == sorted("Hamburger"):
            kinds["swap"] += 1
        elif len(found) == 9:
            (pair,) = [(old, new) for old, new in zip("Hamburger", found, strict=True) if old != new]
            assert pair[0].isupper() == pair[1].isupper()
            kinds["neighbour"] += 1
        else:
            kinds["drop" if len(found) == 8 else "double"] += 1
            assert abs(len(found) - 9) == 1
    assert set(kinds) == {"swap", "neighbour", "drop", "double"}
    assert min(kinds.values()) > 40


def test_keys_beside_are_those_of_the_keyboard() -> None:
    found = {typos("g", doc_id="a", seed=seed) for seed in range(200)}
    assert found == {"gg", *"tyfhvb"}


def test_ids_and_seeds_change_other_words() -> None:
    for kind in ("typos", "drop_words", "swap_words"):
        found = {perturb(WORDS, kind, doc_id=doc_id, seed=seed) for doc_id in "abc" for seed in range(3)}
        assert len(found) == 9


def test_results_are_written_down() -> None:
    """A change of these changes published figures of robustness."""
    text = "The quick brown fox jumps over the lazy dog"
    found = {kind: perturb(text, kind, doc_id="a", seed=1, share=0.3) for kind in KINDS}
    assert found == {
        "typos": "Thee quick brown fox jmups over the azy dog",
        "drop_words": "quick fox jumps over the dog",
        "swap_words": "The quick brown fox over jumps lazy the dog",
        "lower_case": "the quick brown fox jumps over the lazy dog",
        "upper_case": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
        "title_case": "The Quick Brown Fox Jumps Over The Lazy Dog",
    }


def test_scripts_without_spaces_lose_and_swap_characters() -> None:
    assert len(drop_words(CHINESE, **NAMED, share=0.2)) == len(CHINESE) - 3
    swapped = swap_words(CHINESE, **NAMED, share=0.2)
    assert swapped != CHINESE
    assert Counter(swapped) == Counter(CHINESE)
    assert typos(CHINESE, **NAMED) != CHINESE
    mixed = "\u6211\u7528iPhone\u624b\u673a"
    assert all("iPhone" in swap_words(mixed, doc_id="a", seed=seed) for seed in range(20))


@pytest.mark.parametrize(
    "whole", ["e\u0301", FAMILY, "\U0001f1e9\U0001f1ea", "\u0e19\u0e49\u0e33", "\u304b\u3099", "\u4e2d\ufe00"]
)
def test_what_is_seen_as_one_character_stays_whole(whole: str) -> None:
    text = "".join(
        whole + letter for letter in "\u0430\u0431\u0432\u0433\u0434\u0436\u0437\u0438"
    )  # Cyrillic, so none of them an e
    for seed in range(50):
        for kind in ("typos", "drop_words", "swap_words"):
            found = perturb(text, kind, doc_id="a", seed=seed, share=0.5)
            rest = found.replace(whole, "")
            assert not set(rest) & set(whole), (kind, seed)
            assert not any(unicodedata.category(character).startswith("M") for character in rest)


def test_dropped_words_leave_one_space_and_the_ends_of_lines() -> None:
    for seed in range(30):
        assert drop_words("a b", doc_id="a", seed=seed) in {"a", "b"}
        assert drop_words("a b\nc", doc_id="a", seed=seed, share=0.3) in {"b\nc", "a\nc", "a b"}
        assert drop_words(" a b c ", doc_id="a", seed=seed, share=0.3) in {" b c ", " a c ", " a b "}


def test_cases() -> None:
    text = "the \u00abQuick\u00bb fox's \u039f\u0394\u039f\u03a3 stra\u00dfe"
    assert lower_case(text) == "the \u00abquick\u00bb fox's \u03bf\u03b4\u03bf\u03c2 stra\u00dfe"
    assert upper_case(text) == "THE \u00abQUICK\u00bb FOX'S \u039f\u0394\u039f\u03a3 STRASSE"
    assert title_case(text) == "The \u00abQuick\u00bb Fox's \u039f\u03b4\u03bf\u03c2 Stra\u00dfe"


def test_odd_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="found 'typo', expected one of typos, drop_words"):
        perturb("a", "typo", doc_id="a", seed=0)
    for change in (typos, drop_words, swap_words):
        with pytest.raises(SettingsError, match=r"found 10, expected a number from 0 to 1"):
            change("a b", doc_id="a", seed=0, share=10)
