"""The judge of removals, and the corpus it is used on."""

from __future__ import annotations

import numpy as np

from benchmarks.corpus import perturb
from benchmarks.removals import judge_removals

WORDS = [f"w{chr(97 + number // 26)}{chr(97 + number % 26)}rd" for number in range(40)]
ORIGINAL = " ".join(WORDS)
TWIN = " ".join([*WORDS[:-1], "other"])  # 35 of 37 shingles are shared: a similarity of 0.946
APART = " ".join(WORDS[::-1])


def test_a_removed_twin_is_right_and_a_kept_one_is_missed() -> None:
    texts = [ORIGINAL, TWIN, APART]
    right = judge_removals(texts, np.array([True, False, True]), 3, 0.8)
    assert (right.recall, right.precision, right.removed) == (1.0, 1.0, 1)
    missed = judge_removals(texts, np.array([True, True, True]), 3, 0.8)
    assert (missed.recall, missed.pairs, missed.removed) == (0.0, 2, 0)


def test_a_text_without_a_kept_twin_is_removed_wrongly() -> None:
    wrong = judge_removals([ORIGINAL, TWIN, APART], np.array([False, False, False]), 3, 0.8)
    assert (wrong.recall, wrong.precision, wrong.removed) == (1.0, 0.0, 3)


def test_copies_have_the_same_duplicates_inside_and_few_with_each_other() -> None:
    assert perturb(ORIGINAL, 0) == ORIGINAL
    first, second = perturb(ORIGINAL, 1), perturb(TWIN, 1)
    changed = sum(old != new for old, new in zip(WORDS, first.split(), strict=True))
    assert 5 < changed < 25
    assert judge_removals([first, second], np.array([True, False]), 2, 0.8).precision == 1.0
    assert judge_removals([ORIGINAL, first], np.array([True, False]), 2, 0.8).pairs == 0
