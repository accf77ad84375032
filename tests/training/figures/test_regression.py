"""Regression: scikit-learn's and SciPy's figures, with the same bits in any order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats
from sklearn import metrics as reference

from mapring.errors import InputError, StageError
from tests.training.figures.splitting import RANKS, SEEDS, gathered, names
from training.figures.regression import mean_ranks, regression_figures


def made_rows(seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(2, 80))
    targets = np.r_[0.0, 1.0, generator.integers(0, 6, rows)]  # with ties
    predictions = targets + generator.normal(size=rows + 2).round(int(generator.integers(0, 4)))
    return names(rows + 2), predictions.astype(np.float32), targets


@settings(max_examples=50)
@given(seed=SEEDS)
def test_figures_are_those_of_scikit_learn_and_scipy(seed: int) -> None:
    ids, predictions, targets = made_rows(seed)
    found = regression_figures(ids, predictions, targets)
    assert found["rows"] == len(ids)
    assert found["mse"] == pytest.approx(reference.mean_squared_error(targets, predictions))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(targets, predictions))
    assert found["r2"] == pytest.approx(reference.r2_score(targets, predictions))
    if len(set(predictions.tolist())) > 1:
        assert found["pearson"] == pytest.approx(stats.pearsonr(predictions.astype(float), targets).statistic)
        assert found["spearman"] == pytest.approx(stats.spearmanr(predictions, targets).statistic)
    assert mean_ranks(predictions).tolist() == stats.rankdata(predictions).tolist()


def test_figures_by_hand() -> None:
    found = regression_figures(["a", "b", "c"], [1, 2, 6], [1, 3, 5])
    expected = {"rows": 3, "mse": 2 / 3, "mae": 2 / 3, "r2": 1 - 2 / 8, "pearson": 10 / np.sqrt(14 * 8), "spearman": 1}
    assert found == pytest.approx(expected)


@given(seed=SEEDS, ranks=RANKS)
def test_bits_are_the_same_in_any_order(seed: int, ranks: int) -> None:
    columns = made_rows(seed)
    assert regression_figures(*gathered(columns, ranks, seed)) == regression_figures(*columns)


def test_what_has_no_spread_has_no_correlation() -> None:
    found = regression_figures(names(3), [0.1, 0.1, 0.1], [1, 2, 3])
    assert (found["pearson"], found["spearman"], found["r2"]) == (None, None, pytest.approx(-(1.9**2) * 3 / 2))
    found = regression_figures(names(3), [1, 2, 3], [0.1, 0.1, 0.1])
    assert (found["pearson"], found["spearman"], found["r2"]) == (None, None, None)
    assert regression_figures([], [], []) == dict.fromkeys(found) | {"rows": 0}
    assert regression_figures(["a"], [1], [3]) == dict.fromkeys(found) | {"rows": 1, "mse": 4, "mae": 2}


def test_close_values_far_from_zero_still_correlate() -> None:
    values = 1e15 + np.arange(4)
    assert regression_figures(names(4), values, 1e-200 * np.arange(4))["pearson"] == pytest.approx(1)


def test_odd_rows_are_refused() -> None:
    with pytest.raises(StageError, match="predictions: found 1 of 2 infinite"):
        regression_figures(["a", "b"], [1, np.inf], [1, 2])
    with pytest.raises(InputError, match="found row a twice among 2"):
        regression_figures(["a", "a"], [1, 2], [1, 2])
