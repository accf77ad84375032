"""Augmentation: whole words only, special tokens untouched, no text emptied, and a pure function of its row."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapring.settings.augmentation import Augmentation
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from training.augmentation import Augmenter, Changed, ids_to_mask, word_starts
from training.reader import NO_PAIR
from training.rows import Ids

SPECIAL = (0, 1, 2)
CONTINUES = range(30, 50)  # ids that continue a word
SHARES = st.floats(0, 0.99)
ROWS = st.lists(st.integers(0, 49), min_size=0, max_size=60).map(lambda ids: np.array(ids, np.int32))


def augmenter(seed: int = 17, **shares: float) -> Augmenter:
    starts = ~ids_to_mask(list(CONTINUES), 50)
    return Augmenter(Augmentation(**shares), starts, ids_to_mask(SPECIAL, 50), seed)


def words_of(ids: Ids) -> list[tuple[int, ...]]:
    """By the book: a special token ends a word, and what follows one begins one."""
    words: list[list[int]] = []
    is_open = False
    for number in ids.tolist():
        if number in SPECIAL:
            is_open = False
        elif number in CONTINUES and is_open:
            words[-1].append(number)
        else:
            words.append([number])
            is_open = True
    return [tuple(word) for word in words]


def specials_of(ids: Ids) -> list[int]:
    return [number for number in ids.tolist() if number in SPECIAL]


@settings(max_examples=200, deadline=None)
@given(ids=ROWS, crop=SHARES, drop=SHARES, swap=SHARES, seed=st.integers(0, 2**31 - 1))
def test_what_is_left_is_whole_words_and_all_special_tokens(
    ids: Ids, crop: float, drop: float, swap: float, seed: int
) -> None:
    change = augmenter(seed, crop=crop, drop_words=drop, swap_words=swap).change
    found = change(ids, NO_PAIR, "a", 0)
    assert found.second_start == NO_PAIR and found.input_ids.dtype == np.int32
    assert specials_of(found.input_ids) == specials_of(ids)
    before = words_of(ids)
    left = len(found.input_ids) - len(specials_of(ids))
    assert left >= min(len(before), 1) and left <= len(ids)
    if all(number not in CONTINUES for number in ids.tolist()):
        assert not Counter(words_of(found.input_ids)) - Counter(before)
    again = change(ids, NO_PAIR, "a", 0)
    assert np.array_equal(found.input_ids, again.input_ids)


@settings(max_examples=100, deadline=None)
@given(first=ROWS, second=ROWS, crop=SHARES, drop=SHARES, swap=SHARES)
def test_the_two_texts_of_a_pair_stay_apart(first: Ids, second: Ids, crop: float, drop: float, swap: float) -> None:
    change = augmenter(crop=crop, drop_words=drop, swap_words=swap).change
    found = change(np.concatenate([first, second]), len(first), "a", 0)
    sides = np.split(found.input_ids, [found.second_start])
    for before, side in zip((first, second), sides, strict=True):
        assert specials_of(side) == specials_of(before)
        assert not Counter(side.tolist()) - Counter(before.tolist())
        assert bool(words_of(side)) == bool(words_of(before))


@settings(max_examples=100, deadline=None)
@given(ids=ROWS, share=st.floats(0, 1))
def test_swaps_keep_every_word_and_crops_keep_their_order(ids: Ids, share: float) -> None:
    swapped = augmenter(swap_words=share).change(ids, NO_PAIR, "a", 1).input_ids
    assert Counter(swapped.tolist()) == Counter(ids.tolist())
    if share < 1:
        cropped = augmenter(crop=share).change(ids, NO_PAIR, "a", 1).input_ids
        tokens = [number for number in ids.tolist() if number not in SPECIAL]
        left = [number for number in cropped.tolist() if number not in SPECIAL]
        assert any(tokens[start : start + len(left)] == left for start in range(len(tokens) - len(left) + 1))


def test_words_of_several_tokens_stay_in_one_piece() -> None:
    ids = np.array([1, 5, 31, 6, 7, 32, 33, 8, 2], np.int32)
    words = {(5, 31), (6,), (7, 32, 33), (8,)}
    seen = set()
    for epoch in range(60):
        found = augmenter(crop=0.2, drop_words=0.3, swap_words=0.6).change(ids, NO_PAIR, "a", epoch).input_ids
        assert (found[0], found[-1]) == (1, 2)
        assert set(words_of(found)) <= words
        seen.add(found.tobytes())
    assert len(seen) > 10


@pytest.mark.parametrize("name", ["drop_words", "crop"])
def test_as_many_words_go_as_the_share_says(name: str) -> None:
    ids = np.arange(3, 10, dtype=np.int32)  # 7 words
    left = [len(augmenter(**{name: 0.1}).change(ids, NO_PAIR, str(row), 0).input_ids) for row in range(3000)]
    assert set(left) == {6, 7}
    assert np.mean(left) == pytest.approx(6.3, abs=0.04)


def test_rows_epochs_and_seeds_differ() -> None:
    ids = np.arange(3, 29, dtype=np.int32)

    def found(row: str, epoch: int, seed: int) -> Changed:
        return augmenter(seed, swap_words=0.5).change(ids, NO_PAIR, row, epoch)

    first = found("a", 0, 17).input_ids
    for other in (found("b", 0, 17), found("a", 1, 17), found("a", 0, 18)):
        assert not np.array_equal(first, other.input_ids)


@pytest.mark.parametrize(
    ("tokens", "starts"),
    [
        (["[CLS]", "un", "##able", "##"], [True, True, False, True]),
        (["<s>", "▁un", "able", "▁to"], [False, True, False, True]),
        (["<s>", "Ġun", "able", "Ġto"], [False, True, False, True]),
        (["a", "b"], [True, True]),
        (["<s>", "▁un", "able", "房间", "，", "ไทย", "ิ"], [False, True, False, True, True, True, False]),
        (["Ġun", "able", "æĪĳ", "æĪ", "ĳ", "ï¼Į"], [True, False, True, True, False, True]),
    ],
)
def test_word_starts_are_told_from_the_vocabulary(tokens: list[str], starts: list[bool]) -> None:
    assert word_starts({token: number for number, token in enumerate(tokens)}).tolist() == starts


def test_chinese_loses_as_many_words_whether_or_not_another_text_has_latin_ones() -> None:
    review = ["房间", "很", "干净", "，", "服务", "态度", "也", "很好", "。", "下次"]
    vocabulary = {token: number for number, token in enumerate(["<s>", "▁", "▁windows", *review])}
    starts = word_starts(vocabulary)
    change = Augmenter(Augmentation(drop_words=0.1), starts, ids_to_mask([0], len(vocabulary)), 17).change
    ids = np.array([0, *(vocabulary[token] for token in review)], np.int32)
    assert {len(change(ids, NO_PAIR, "a", epoch).input_ids) for epoch in range(50)} == {10}


def test_rows_are_changed_in_steps_and_never_in_evaluations(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan("train.augmentation={drop_words: 0.5}"))
    plain, _ = prepare(make_tiny_plan())
    batch = next(training.reader.epoch(0))
    tokens = plain.stepper.step(0, batch).tokens
    assert training.stepper.step(0, batch).tokens < tokens == sum(map(len, batch.input_ids))
    fresh, _ = prepare(make_tiny_plan("train.augmentation={drop_words: 0.5}"))
    evaluated = [
        item.task.evaluate(item.model, item.ring, plan.shards_directory, "validation")
        for item, plan in ((fresh, fresh.plan), (prepare(make_tiny_plan())[0], plain.plan))
    ]
    assert evaluated[0] == evaluated[1]
