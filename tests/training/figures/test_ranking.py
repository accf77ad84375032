"""Ranking: scikit-learn's figures, with the same bits in any order of the rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as reference

from mapring.discounted_gain import discounted_gain, query_figures
from mapring.errors import InputError, StageError
from tests.training.figures.splitting import RANKS, SEEDS, gathered
from training.figures.ranking import average_precision, roc_auc


def made_rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups, scores with ties, and relevances; some groups have no relevant row."""
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(4, 80))
    groups = np.array(["x", "y", "zebra", "\u4e2d"])[generator.integers(0, 4, rows)]
    scores = generator.normal(size=rows).round(int(generator.integers(0, 3)))
    return groups, scores, generator.choice([0.0, 0.0, 1.0, 2.5], rows) * (groups != "y")


@settings(max_examples=50)
@given(seed=SEEDS)
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    _, scores, relevance = made_rows(seed)
    targets = np.r_[True, False, relevance[2:] > 0]
    assert roc_auc(scores, targets) == pytest.approx(reference.roc_auc_score(targets, scores))
    assert average_precision(scores, targets) == pytest.approx(reference.average_precision_score(targets, scores))


@settings(max_examples=50)
@given(seed=SEEDS)
def test_discounted_gain_is_that_of_scikit_learn(seed: int) -> None:
    groups, scores, relevance = made_rows(seed)
    cutoff = 1 + seed % 12
    found = discounted_gain(groups, scores, relevance, cutoff)
    expected = {}
    for name in sorted(set(groups.tolist())):
        own = groups == name
        if relevance[own].any():  # scikit-learn wants two rows at least
            single = own.sum() == 1
            expected[name] = 1.0 if single else reference.ndcg_score([relevance[own]], [scores[own]], k=cutoff)
    assert found.per_group == pytest.approx(expected)
    assert list(found.per_group) == list(expected)
    assert found.without_relevant == len(set(groups.tolist())) - len(expected)
    assert found.mean == (pytest.approx(np.mean(list(expected.values()))) if expected else None)


def test_figures_by_hand() -> None:
    scores, targets = [0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0]
    assert roc_auc(scores, targets) == (2 + 0.5 + 1) / 4
    assert average_precision(scores, targets) == (1 + 2 / 3) / 2
    found = discounted_gain([7, 7, 7, 3], [3, 2, 1, 5], [0, 1, 3, 0], cutoff=2)
    assert found.per_group == {7: pytest.approx((1 / math.log2(3)) / (3 + 1 / math.log2(3)))}
    assert (found.mean, found.without_relevant, found.cutoff) == (found.per_group[7], 1, 2)


@given(seed=SEEDS, ranks=RANKS)
def test_bits_are_the_same_in_any_order(seed: int, ranks: int) -> None:
    groups, scores, relevance = made_rows(seed)
    parts = gathered((groups, scores, relevance), ranks, seed)
    assert discounted_gain(*parts) == discounted_gain(groups, scores, relevance)
    for figure in (roc_auc, average_precision):
        assert figure(parts[1], parts[2] > 0) == figure(scores, relevance > 0)


def test_rows_that_suffice_for_no_figure() -> None:
    assert roc_auc([1, 2], [True, True]) is None
    assert average_precision([1, 2], [False, False]) is None
    assert (roc_auc([], []), average_precision([], [])) == (None, None)
    assert discounted_gain([], [], []) == (None, {}, 0, 10)
    assert discounted_gain(["a"], [1], [0]) == (None, {}, 1, 10)


def test_scores_at_the_ends_of_float64_are_no_tie() -> None:
    assert discounted_gain(["a", "a"], [1.7e308, -1.7e308], [1, 0]).mean == 1


def test_odd_rows_are_refused() -> None:
    with pytest.raises(StageError, match="scores: found 1 of 2 infinite or not a number"):
        roc_auc([1, np.nan], [True, False])
    with pytest.raises(StageError, match=r"found scores of shape \(2,\) and targets of shape \(1,\)"):
        average_precision([1, 2], [True])
    with pytest.raises(StageError, match="found 1 groups, 2 scores"):
        discounted_gain(["a"], [1, 2], [1, 0])
    with pytest.raises(InputError, match="found relevance -1, expected 0 or more"):
        discounted_gain(["a"], [1], [-1])


def test_queries_with_one_candidate_or_none_relevant_do_not_count() -> None:
    queries = ["a", "a", "b", "c", "c", "d", "d", "d"]
    scores = [0.1, 0.9, 5.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    gains = [1, 0, 1, 0, 0, 0, 2, 1]
    of_a = 1 / math.log2(3)  # the relevant one comes second, behind the other
    of_d = (2 / math.log2(3) + 1 / 2) / (2 + 1 / math.log2(3))
    found = query_figures(queries, scores, gains)
    assert found == {"ndcg_at_10": pytest.approx((of_a + of_d) / 2), "ranked_queries": 2}
    assert query_figures(["a", "b"], [1, 2], [1, 1]) == {"ndcg_at_10": None, "ranked_queries": 0}
    assert query_figures([], [], []) == {"ndcg_at_10": None, "ranked_queries": 0}
