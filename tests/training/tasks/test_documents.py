"""Packed documents do not see each other, and count their positions for themselves."""

from __future__ import annotations

import numpy as np

from training.tasks.documents import attention_between, document_numbers, restarting_positions

STARTS = [np.array([0, 3], np.int32), np.array([0], np.int32)]
NUMBERS = document_numbers(STARTS, np.array([5, 2]), 6)


def test_cells_belong_to_documents_or_to_padding() -> None:
    assert NUMBERS.tolist() == [[0, 0, 0, 1, 1, -1], [0, 0, -1, -1, -1, -1]]


def test_positions_begin_at_0_in_each_document() -> None:
    assert restarting_positions(NUMBERS)[0].tolist() == [0, 1, 2, 0, 1, 0]
    assert restarting_positions(NUMBERS)[1].tolist() == [0, 1, 0, 1, 2, 3]


def test_attention_stays_within_documents() -> None:
    seen = attention_between(NUMBERS, causal=False)
    assert seen.shape == (2, 1, 6, 6)
    assert seen[0, 0, 0].tolist() == [True, True, True, False, False, False]
    assert seen[0, 0, 4].tolist() == [False, False, False, True, True, False]
    assert seen.any(-1).all()  # no cell sees nothing, or softmax gives NaN
    causal = attention_between(NUMBERS, causal=True)
    assert causal[0, 0, 1].tolist() == [True, True, False, False, False, False]
    assert causal[0, 0, 3].tolist() == [False, False, False, True, False, False]


def test_a_document_without_tokens_has_no_cells() -> None:
    starts = [np.array([0, 5], np.int32), np.array([0], np.int32), np.array([0, 2, 2], np.int32)]
    found = document_numbers(starts, np.array([5, 0, 4]), 5).tolist()
    assert found == [[0] * 5, [-1] * 5, [0, 0, 1, 1, -1]]


def test_positions_may_begin_behind_that_of_padding() -> None:
    assert restarting_positions(NUMBERS, 2)[0].tolist() == [2, 3, 4, 2, 3, 2]
