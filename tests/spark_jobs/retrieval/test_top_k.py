"""Exact nearest vectors: against float64 in plain words, with ties, whatever the blocks and batches."""

from __future__ import annotations

import numpy as np
import pytest

from spark_jobs.retrieval import products, top_k
from spark_jobs.retrieval.top_k import Nearest, nearest

DIMENSIONS = 24


def unit(rows: int, seed: int) -> products.Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain(queries: products.Vectors, bank: products.Vectors, count: int, order: top_k.Integers) -> Nearest:
    """By the definition, a pair at a time."""
    scores = np.array([[np.vecdot(a.astype(np.float64), b.astype(np.float64)) for b in bank] for a in queries])
    best = np.array([sorted(range(len(bank)), key=lambda place: (-row[place], order[place])) for row in scores])
    return Nearest(best[:, :count], np.take_along_axis(scores, best[:, :count], 1))


@pytest.mark.parametrize(("size", "cuts"), [(4, (2,)), (700, (1, 300)), (9000, (4000, 4001)), (9000, ())])
def test_what_is_found_is_what_the_definition_finds(size: int, cuts: tuple[int, ...]) -> None:
    bank, queries = unit(size, 1), unit(7, 2)
    bank[size // 2 :: 3] = bank[0]  # many of equal score, on both sides of the cuts
    queries[3] = bank[0]
    order = np.random.default_rng(3).permutation(size)
    found = nearest(queries, np.split(bank, cuts), 5, order)
    expected = plain(queries, bank, 5, order)
    np.testing.assert_array_equal(found.places, expected.places)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_rows_have_the_same_answers_in_any_company() -> None:
    bank, queries = unit(5000, 1), unit(300, 2)
    order = np.arange(5000)
    together = nearest(queries, [bank], 3, order)
    for rows in (slice(0, 1), slice(7, 290), slice(299, 300)):
        alone = nearest(queries[rows], np.split(bank, [17, 2000]), 3, order, threads=2)
        np.testing.assert_array_equal(alone.places, together.places[rows])
        np.testing.assert_array_equal(alone.scores, together.scores[rows])


def test_what_float32_cannot_tell_apart_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """More near copies than are proposed: the best of them is found among all that float32 takes for equal."""
    query = unit(1, 5)
    bank = np.repeat(query, 3000, axis=0)
    bank[:, 0] += np.random.default_rng(6).integers(-3, 4, 3000).astype(np.float32) * np.float32(2.0**-24)
    calls: list[int] = []
    real = top_k._nearest_of_one
    monkeypatch.setattr(top_k, "_nearest_of_one", lambda *a: calls.append(1) or real(*a))
    found = nearest(query, [bank], 4, np.arange(3000))
    np.testing.assert_array_equal(found.places, plain(query, bank, 4, np.arange(3000)).places)
    assert calls, "so many near copies are looked at one by one"


@pytest.mark.parametrize("noise", [0.3, 0.003, 0.0])
def test_bfloat16_proposes_whatever_float32_would(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near copies of a few vectors are what bfloat16 cannot tell apart; without noise there are too many."""
    chance = np.random.default_rng(7)
    topics, queries = unit(40, 8), unit(30, 9)
    bank = (
        topics[chance.integers(40, size=6000)] + chance.standard_normal((6000, DIMENSIONS)).astype(np.float32) * noise
    )
    bank = (bank / np.linalg.norm(bank, axis=1, keepdims=True)).astype(np.float32)
    order = chance.permutation(6000)
    monkeypatch.setattr(top_k._WORK, "is_brief", lambda *_: False)
    expected = nearest(queries, np.split(bank, [1000]), 5, order)
    monkeypatch.setattr(top_k._WORK, "is_brief", lambda *_: True)
    found = nearest(queries, np.split(bank, [1000]), 5, order, threads=2)
    np.testing.assert_array_equal(found.places, expected.places)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_no_query_and_fewer_vectors_than_asked_for() -> None:
    bank = unit(3, 1)
    assert nearest(unit(0, 1), [bank], 2, np.arange(3)).places.shape == (0, 2)
    assert nearest(bank, [bank], 10, np.arange(3)).places[:, 0].tolist() == [0, 1, 2]
