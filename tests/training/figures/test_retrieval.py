"""Retrieval: ranks by the book, exact ties, and the same bits for any number of ranks and any size of batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from mapring.errors import StageError
from tests.training.figures.splitting import RANKS, SEEDS, summed
from training.figures.retrieval import blocks_of_ranks, rank_sums, retrieval_figures


def ranks_of_true(queries: npt.ArrayLike, documents: npt.ArrayLike, true: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *blocks_of_ranks(queries, documents, true)])


def made_embeddings(seed: int, queries: int = 30, documents: int = 50, dimensions: int = 48) -> tuple:
    """Embeddings of length 1, every fifth document twice, and queries near their documents."""
    generator = np.random.default_rng(seed)
    held = generator.normal(size=(documents, dimensions))
    held[::5] = held[1::5]
    true = generator.integers(0, documents, queries)
    asked = held[true] + 1.5 * generator.normal(size=(queries, dimensions))
    lengths = [np.linalg.norm(side, axis=1, keepdims=True) for side in (asked, held)]
    return (asked / lengths[0]).astype(np.float32), (held / lengths[1]).astype(np.float32), true


def by_the_book(queries: np.ndarray, documents: np.ndarray, true: np.ndarray) -> list[int]:
    found = []
    for query, place in zip(queries.astype(np.float64), true, strict=True):
        scores = np.array([sum(query * document) for document in documents.astype(np.float64)])  # equal rows tie
        found.append(int((scores >= scores[place]).sum()))
    return found


@settings(max_examples=15)
@given(seed=SEEDS)
def test_ranks_are_those_by_the_book(seed: int) -> None:
    made = made_embeddings(seed)
    found = ranks_of_true(*made).tolist()
    # Rounding may swap neighbours whose scores differ by less than 1e-6; that is one pair in some thousands
    assert np.abs(np.array(found) - by_the_book(*made)).sum() <= 1


def test_ties_count_against_the_model() -> None:
    documents = np.array([[1, 0], [1, 0], [0, 1], [2, 0]], np.float32)
    queries = np.array([[1, 0], [0, 3], [0, 0]], np.float32)
    assert ranks_of_true(queries, documents, np.array([0, 2, 1])).tolist() == [3, 1, 4]


def test_figures_by_hand() -> None:
    found = retrieval_figures(rank_sums([1, 2, 7, 20]))
    assert found["mean_reciprocal_rank"] == pytest.approx((1 + 1 / 2 + 1 / 7 + 1 / 20) / 4, abs=1e-9)
    recalls = [found[f"recall_at_{cutoff}"] for cutoff in (1, 5, 10)]
    assert (found["queries"], recalls) == (4, [0.25, 0.5, 0.75])
    nothing = retrieval_figures(rank_sums([], cutoffs=[3]), cutoffs=[3])
    assert nothing == {"queries": 0, "mean_reciprocal_rank": None, "recall_at_3": None}


@settings(max_examples=30)
@given(seed=SEEDS, ranks=RANKS)
def test_any_number_of_ranks_has_the_same_sums(seed: int, ranks: int) -> None:
    queries, documents, true = made_embeddings(seed)

    def count(own: np.ndarray, places: np.ndarray) -> np.ndarray:
        return rank_sums(ranks_of_true(own, documents, places))

    assert summed(count, (queries, true), ranks, seed).tolist() == count(queries, true).tolist()


@pytest.mark.parametrize(("cells", "block"), [(100, 1), (1000, 7), (1 << 21, 512)])
def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch, cells: int, block: int) -> None:
    made = made_embeddings(11, queries=40, documents=300)
    whole = ranks_of_true(*made)
    monkeypatch.setattr("training.figures.retrieval._BLOCK_CELLS", cells)
    monkeypatch.setattr("training.figures.retrieval._BLOCK_QUERIES", block)
    assert ranks_of_true(*made).tolist() == whole.tolist()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 768, 1025])
def test_whole_numbers_stay_exact_at_their_largest(dimensions: int) -> None:
    """All values as large as they can be: the sum reaches 2**53, and one less is still told from it."""
    queries = np.ones((1, dimensions), np.float32)
    documents = np.ones((3, dimensions), np.float32)
    documents[1, 0] = 1 - 2.0**-19
    assert ranks_of_true(queries, documents, np.array([0])).tolist() == [2]
    assert ranks_of_true(1e-30 * queries, 1e30 * documents, np.array([1])).tolist() == [3]


def test_no_queries_need_no_documents() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert ranks_of_true(nothing, nothing, np.zeros(0, np.int64)).tolist() == []


def test_odd_embeddings_are_refused() -> None:
    fine = np.ones((2, 3), np.float32)
    with pytest.raises(StageError, match="embed both with the same model"):
        ranks_of_true(fine, np.ones((2, 4), np.float32), np.array([0, 1]))
    with pytest.raises(StageError, match="found places from 0 to 2 among 2 documents"):
        ranks_of_true(fine, fine, np.array([0, 2]))
    with pytest.raises(StageError, match="embeddings of documents: found 6 of 6 infinite"):
        ranks_of_true(fine, np.inf * fine, np.array([0, 1]))
