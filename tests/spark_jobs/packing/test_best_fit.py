"""Packing loses nothing, repeats nothing, and never overfills; on realistic lengths it wastes little."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_jobs.packing.best_fit import Integers, best_fit_decreasing, pack

Lengths = st.lists(st.integers(0, 300), max_size=60).map(lambda values: np.array(values, np.int64))


@given(Lengths, st.integers(1, 128))
@settings(max_examples=200, deadline=None)
def test_every_token_is_in_exactly_one_place_and_no_sequence_is_too_long(lengths: Integers, capacity: int) -> None:
    pieces = pack(lengths, capacity)
    tokens = [
        (d, o + i) for d, o, n in zip(pieces.document, pieces.offset, pieces.length, strict=True) for i in range(n)
    ]
    assert sorted(tokens) == [(d, i) for d, length in enumerate(lengths) for i in range(length)]
    assert set(pieces.document.tolist()) == set(range(len(lengths)))
    filled = np.bincount(pieces.sequence, weights=pieces.length).astype(int)
    assert (filled <= capacity).all()
    assert set(pieces.sequence.tolist()) == set(range(len(filled))), "sequences have numbers without gaps"
    pairs = list(zip(pieces.sequence.tolist(), pieces.document.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)), "no sequence holds two pieces of one document"
    assert pairs == sorted(pairs)


@given(Lengths, st.integers(1, 128))
@settings(deadline=None)
def test_pieces_fill_their_sequence_without_gaps(lengths: Integers, capacity: int) -> None:
    pieces = pack(lengths, capacity)
    place: dict[int, int] = {}
    for sequence, start, length in zip(pieces.sequence, pieces.starts(), pieces.length, strict=True):
        assert start == place.get(sequence, 0)
        place[sequence] = start + length


@given(Lengths, st.integers(1, 128))
@settings(deadline=None)
def test_the_same_lengths_give_the_same_packing(lengths: Integers, capacity: int) -> None:
    left, right = pack(lengths, capacity), pack(lengths.copy(), capacity)
    assert all(np.array_equal(getattr(left, name), getattr(right, name)) for name in vars(left))


@given(st.lists(st.integers(1, 40), max_size=30))
@settings(deadline=None)
def test_no_two_bins_could_be_one(values: list[int]) -> None:
    """What any best fit promises: a bin is opened only if the item fits nowhere."""
    lengths = np.array(values, np.int64)
    filled = sorted(np.bincount(best_fit_decreasing(lengths, 40), weights=lengths))
    assert len(filled) < 2 or filled[0] + filled[1] > 40


def test_an_item_goes_where_it_leaves_the_least_room() -> None:
    lengths = np.array([6, 5, 4, 3, 2], np.int64)
    assert best_fit_decreasing(lengths, 10).tolist() == [0, 1, 0, 1, 1]


@pytest.mark.parametrize(("capacity", "median"), [(128, 40), (512, 60), (2048, 300), (2048, 1500)])
def test_realistic_lengths_fill_more_than_98_percent(capacity: int, median: int) -> None:
    """Log-normal lengths, as those of documents are, in a bucket of 256 sequences."""
    chance = np.random.default_rng(17)
    lengths = np.ceil(chance.lognormal(np.log(median), 1.0, size=300 * capacity)).astype(np.int64)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), 256 * capacity)]
    pieces = pack(lengths, capacity)
    assert lengths.sum() / ((pieces.sequence.max() + 1) * capacity) > 0.98


def test_time_grows_with_n_log_n() -> None:
    """A million pieces take seconds; with a search through all open bins they would take hours."""
    lengths = np.random.default_rng(17).integers(1, 400, size=1_000_000)
    before = time.perf_counter()
    best_fit_decreasing(lengths, 512)
    assert time.perf_counter() - before < 30
