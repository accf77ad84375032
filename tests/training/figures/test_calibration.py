"""Calibration: by hand, against scikit-learn and SciPy, and the same bits for any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from mapring.errors import StageError
from tests.training.figures.splitting import RANKS, SEEDS, summed
from tests.training.thread_ring import ThreadRing, run_ranks
from training.figures.calibration import (
    BINS,
    brier_score,
    brier_sums,
    calibration_figures,
    confidence_sums,
)


def made_rows(seed: int, rows: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are surer than they should be, and true labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes))
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return (3 * logits).astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


def answers(seed: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = made_rows(seed, rows)
    return softmax(logits).max(axis=1), logits.argmax(axis=1) == labels


def test_a_table_by_hand() -> None:
    sums = confidence_sums([0.5, 0.75, 1.0, 1.0], [True, False, True, False], bins=2)
    assert (sums[:, :2]).tolist() == [[1, 1], [3, 1]]  # 0.5 is in the lower bin
    found = calibration_figures(sums)
    assert found["expected_calibration_error"] == pytest.approx((0.5 * 1 + (2.75 / 3 - 1 / 3) * 3) / 4)
    assert found["maximum_calibration_error"] == pytest.approx(2.75 / 3 - 1 / 3)
    assert found["reliability"][0] == {"lower": 0.0, "upper": 0.5, "rows": 1, "accuracy": 1.0, "confidence": 0.5}


@settings(max_examples=30)
@given(seed=SEEDS)
def test_bins_are_those_of_scikit_learn(seed: int) -> None:
    confidences, correct = answers(seed)
    table = [row for row in calibration_figures(confidence_sums(confidences, correct))["reliability"] if row["rows"]]
    accuracy, confidence = calibration_curve(correct, confidences, n_bins=BINS)
    assert [row["accuracy"] for row in table] == pytest.approx(list(accuracy))
    assert [row["confidence"] for row in table] == pytest.approx(list(confidence), abs=1e-6)


def test_errors_are_means_over_rows_and_maxima_over_bins() -> None:
    found = calibration_figures(confidence_sums(*answers(1, rows=1000)))
    table = [row for row in found["reliability"] if row["rows"]]
    gaps = np.array([abs(row["accuracy"] - row["confidence"]) for row in table])
    rows = np.array([row["rows"] for row in table])
    assert found["rows"] == rows.sum() == 1000
    assert found["expected_calibration_error"] == pytest.approx((gaps * rows).sum() / 1000)
    assert found["maximum_calibration_error"] == pytest.approx(gaps.max())


def test_ends_of_the_range_have_bins_and_no_rows_no_figures() -> None:
    sums = confidence_sums([0.0, 1.0, 1.0000001], [False, True, True])
    assert (sums[0, 0], sums[-1, 0]) == (1, 2)
    assert calibration_figures(sums)["expected_calibration_error"] == 0.0
    nothing = calibration_figures(confidence_sums([], []))
    assert (nothing["rows"], nothing["expected_calibration_error"]) == (0, None)
    assert (nothing["maximum_calibration_error"], nothing["reliability"][0]["accuracy"]) == (None, None)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_the_brier_score_is_that_of_scikit_learn(seed: int) -> None:
    logits, labels = made_rows(seed)
    found = brier_score(brier_sums(softmax(logits), labels))
    expected = reference.brier_score_loss(labels, softmax(logits.astype(np.float64)), labels=range(4))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_brier_score_by_hand() -> None:
    assert brier_score(brier_sums([[0.75, 0.25], [1.0, 0.0]], [0, 1])) == (0.125 + 2) / 2
    assert brier_score(brier_sums(np.zeros((0, 3)), [])) is None


@given(seed=SEEDS, ranks=RANKS)
def test_any_number_of_ranks_has_the_same_sums(seed: int, ranks: int) -> None:
    columns = answers(seed)
    assert summed(confidence_sums, columns, ranks, seed).tolist() == confidence_sums(*columns).tolist()
    logits, labels = made_rows(seed)
    columns = (softmax(logits), labels)
    assert summed(brier_sums, columns, ranks, seed).tolist() == brier_sums(*columns).tolist()


def test_a_ring_adds_the_sums_up_in_place() -> None:
    confidences, correct = answers(3)

    def work(ring: ThreadRing) -> dict:
        sums = confidence_sums(confidences[ring.rank :: ring.size], correct[ring.rank :: ring.size])
        ring.allreduce_sum([torch.from_numpy(sums)])
        return calibration_figures(sums)

    assert all(found == calibration_figures(confidence_sums(confidences, correct)) for found in run_ranks(3, work))


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(StageError, match="apply softmax"):
        confidence_sums([3.0], [True])
    with pytest.raises(StageError, match="found 1 of 2 infinite or not a number"):
        confidence_sums([0.5, np.nan], [True, True])
    with pytest.raises(StageError, match="leave out the rows without label"):
        brier_sums([[0.5, 0.5]], [-100])
