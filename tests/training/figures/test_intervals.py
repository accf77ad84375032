"""Intervals: weights are Poisson's and the row's own, sums the same for any number of ranks, coverage as said."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import poisson
from sklearn import metrics as reference

from mapring.errors import StageError
from tests.training.figures.splitting import RANKS, SEEDS, names, summed
from training.figures.intervals import (
    accuracies,
    accuracy_replicates,
    class_replicates,
    macro_f1s,
    micro_f1s,
    multilabel_replicates,
    percentile_interval,
    poisson_weights,
)


def made_labels(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 3, rows)
    return true, np.where(generator.random(rows) < 0.7, true, generator.integers(0, 3, rows))


def test_weights_are_poisson_s_and_independent() -> None:
    weights = poisson_weights(names(5000), seed=1, replicates=100)
    shares = np.bincount(weights.ravel(), minlength=8)[:8] / weights.size
    assert shares == pytest.approx(poisson.pmf(range(8), 1), abs=2e-3)
    assert abs(np.corrcoef(weights[:, :20].T) - np.eye(20)).max() < 0.07  # of replicates, over rows
    assert abs(np.corrcoef(weights[:20]) - np.eye(20)).max() < 0.5  # of rows, over replicates


def test_weights_are_a_function_of_seed_doc_id_and_replicate() -> None:
    ids = names(20)
    weights = poisson_weights(ids, seed=1, replicates=30)
    assert (poisson_weights(ids[::-1], seed=1, replicates=10)[::-1] == weights[:, :10]).all()
    assert (poisson_weights(ids, seed=2, replicates=30) != weights).any()
    # Written down, so that a change of the function, which would change published intervals, is seen
    assert poisson_weights(["a", "b"], seed=0, replicates=12).tolist() == [
        [0, 2, 1, 2, 2, 0, 2, 0, 3, 0, 1, 2],
        [1, 1, 1, 1, 2, 1, 1, 0, 1, 0, 2, 0],
    ]


@given(seed=SEEDS, ranks=RANKS)
def test_any_number_of_ranks_has_the_same_replicates(seed: int, ranks: int) -> None:
    true, predicted = made_labels(seed)
    ids = np.array(names(len(true)))
    count = partial(accuracy_replicates, seed=seed, replicates=20)
    assert (summed(count, (ids, true == predicted), ranks, seed) == count(ids, true == predicted)).all()
    count = partial(class_replicates, classes=3, seed=seed, replicates=20)
    assert (summed(count, (ids, true, predicted), ranks, seed) == count(ids, true, predicted)).all()
    several = (ids, np.eye(3)[true] + np.eye(3)[predicted[::-1]] > 0, np.eye(3)[predicted] > 0)
    count = partial(multilabel_replicates, seed=seed, replicates=20)
    assert (summed(count, several, ranks, seed) == count(*several)).all()


@settings(max_examples=10)
@given(seed=SEEDS)
def test_a_replicate_is_scikit_learn_s_figure_of_weighted_rows(seed: int) -> None:
    true, predicted = made_labels(seed)
    ids = names(len(true))
    weights = poisson_weights(ids, seed=seed, replicates=5)
    found = class_replicates(ids, true, predicted, 3, seed=seed, replicates=5)
    correct = accuracy_replicates(ids, true == predicted, seed=seed, replicates=5)
    options = {"labels": range(3), "zero_division": 0}
    for index in range(5):
        own = {"sample_weight": weights[:, index], **options}
        assert macro_f1s(found)[index] == pytest.approx(reference.f1_score(true, predicted, average="macro", **own))
        assert micro_f1s(found)[index] == pytest.approx(reference.f1_score(true, predicted, average="micro", **own))
        expected = reference.accuracy_score(true, predicted, sample_weight=weights[:, index])
        assert accuracies(correct)[index] == pytest.approx(expected)
    single = multilabel_replicates(ids, np.eye(3)[true], np.eye(3)[predicted], seed=seed, replicates=5)
    assert (single == found).all()


def test_blocks_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    true, predicted = made_labels(5)
    ids = names(len(true))
    whole = class_replicates(ids, true, predicted, 3, seed=1, replicates=10)
    monkeypatch.setattr("training.figures.intervals._BLOCK_CELLS", 70)
    assert (class_replicates(ids, true, predicted, 3, seed=1, replicates=10) == whole).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth, held, samples, rows = 0.8, 0, 400, 300
    generator = np.random.default_rng(7)
    for sample in range(samples):
        correct = generator.random(rows) < truth
        ids = [f"{sample}-{row}" for row in range(rows)]
        interval = percentile_interval(accuracies(accuracy_replicates(ids, correct, seed=3)))
        assert interval is not None
        held += interval.low <= truth <= interval.high
    assert 0.92 <= held / samples <= 0.98  # binomial, so within 3 % of 95 % in 99 of 100 seeds


def test_intervals_of_macro_f1_hold_it_a_little_less_often() -> None:
    """What `Interval` says of them."""
    generator = np.random.default_rng(0)
    samples, rows, agreement = 300, 300, 0.7
    truth, held = agreement + (1 - agreement) / 3, 0  # as all classes and errors are alike, every F1 is the accuracy
    for sample in range(samples):
        true, other = generator.integers(0, 3, (2, rows))
        predicted = np.where(generator.random(rows) < agreement, true, other)
        found = class_replicates([f"{sample}-{row}" for row in range(rows)], true, predicted, 3, seed=0)
        interval = percentile_interval(macro_f1s(found))
        assert interval is not None
        held += interval.low <= truth <= interval.high
    assert 0.90 <= held / samples <= 0.97


def test_few_rows_make_no_interval() -> None:
    nothing = accuracy_replicates([], [], seed=0)
    assert percentile_interval(accuracies(nothing)) is None
    assert percentile_interval(macro_f1s(class_replicates([], [], [], 2, seed=0))) is None
    one = percentile_interval(accuracies(accuracy_replicates(["a"], [True], seed=0)))
    assert one is not None
    assert (one.low, one.high) == (1, 1)
    assert one.replicates < 200  # some do not have the row
    with pytest.raises(StageError, match=r"such as 0\.95"):
        percentile_interval(np.ones(3), level=95)
    with pytest.raises(StageError, match="found 2 rows for 1 doc ids"):
        accuracy_replicates(["a"], [True, True], seed=0)


def test_ten_thousand_rows_take_well_under_a_second() -> None:
    ids, correct = names(10_000), np.ones(10_000, np.bool_)
    fastest = 10.0
    for _ in range(3):
        start = time.process_time()
        accuracy_replicates(ids, correct, seed=1)
        fastest = min(fastest, time.process_time() - start)
    assert fastest < 0.5  # 0.02 s on a core of 2026
