"""The gate: agreement and loss at their bounds, rows without labels, logits that are none."""

from __future__ import annotations

import numpy as np
import pytest

from spark_jobs.backends.gate import compare, refusal
from spark_jobs.backends.rows import NO_LABEL


def logits(labels: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[labels]


def test_agreement_and_accuracy_are_counted_on_their_rows() -> None:
    labels = np.array([0, 1, 2, NO_LABEL])
    figures = compare(logits([0, 1, 1, 2]), logits([0, 2, 2, 2]), labels)
    assert (figures.rows, figures.labelled) == (4, 3)
    assert figures.agreement == 0.5
    assert figures.accuracy == pytest.approx(2 / 3) and figures.fp32_accuracy == pytest.approx(2 / 3)
    assert figures.loss == 0 and figures.largest_difference == 1


def test_both_bounds_include_their_value() -> None:
    figures = compare(logits([0] * 1000), logits([0] * 995 + [1] * 5), np.zeros(1000, np.int64))
    assert refusal(figures, 0.995, 0.005) is None
    assert refusal(figures, 0.996, 0.005) == (
        "0.9950 of 1,000 validation rows have fp32's label, expected at least 0.996 (score.min_agreement)"
    )
    told = refusal(figures, 0.995, 0.003)
    assert told is not None and "a loss of 0.0050, expected at most 0.003 (score.max_metric_loss)" in told


def test_rows_without_any_label_are_judged_by_agreement_alone() -> None:
    figures = compare(logits([0, 1]), logits([0, 1]), np.full(2, NO_LABEL))
    assert figures.accuracy is None and figures.loss == 0
    assert refusal(figures, 1.0, 0.0) is None


def test_logits_that_are_not_finite_agree_with_nothing() -> None:
    broken = logits([0, 1])
    broken[0] = np.nan
    figures = compare(logits([0, 1]), broken, np.array([0, 1]))
    assert figures.agreement == 0.5 and figures.accuracy == 0.5
