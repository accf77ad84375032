"""Whether a model's probabilities are what they say, and the temperature that brings them nearer to it.

Bins and temperature are those of Guo, Pleiss, Sun and Weinberger (2017), the score is that of Brier (1950).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from training.batches import Integers
from training.figures.fixed_point import (
    FRACTION_BITS,
    Floats,
    checked_finite,
    checked_probabilities,
    from_fixed_point,
    to_fixed_point,
)
from training.figures.rows import Keys, sorted_by_key

BINS = 15  # of equal width, as in Guo et al.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0  # what lies beyond says that there is no best one
_STEPS = 100  # Newton needs about six; halving the bounds alone, sixty


class Temperature(NamedTuple):
    """What logits are to be divided by, and what that does to the negative log likelihood of the rows it was fit to."""

    temperature: float
    nll_before: float | None  # nats a row, at temperature 1; None without rows
    nll_after: float | None  # nats a row, at this temperature
    rows: int


def confidence_sums(confidences: npt.ArrayLike, correct: npt.ArrayLike, bins: int = BINS) -> Integers:
    """What a rank counts of its rows; to be summed over the ranks.

    Bin m of M holds confidences in ((m - 1) / M, m / M], the first one 0 as well; a confidence is rounded to 30
    binary digits before that, so that it is in the bin that its summand belongs to.

    Args:
        confidences: the probability of the predicted label, shape (rows,).
        correct: whether the prediction is right, shape (rows,).
        bins: how many bins of equal width there are.

    Returns:
        Shape (bins, 3): rows, correct rows, sum of the confidences in units of 2**-30.

    Raises:
        StageError: a confidence is no probability.
    """
    fixed = to_fixed_point(checked_probabilities(confidences, "confidences"))
    index = np.maximum((fixed * bins - 1) >> FRACTION_BITS, 0)
    sums = np.zeros((bins, 3), np.int64)
    np.add.at(sums, index, np.stack([np.ones_like(fixed), np.asarray(correct, np.bool_).astype(np.int64), fixed], 1))
    return sums


def calibration_figures(sums: Integers) -> dict[str, Any]:
    """Figures of the summed `confidence_sums`, of shape (bins, 3).

    Returns:
        `rows`; `expected_calibration_error` and `maximum_calibration_error`, the mean over rows and the maximum over
        bins of |accuracy - mean confidence|, None without rows; `reliability`, a row for each bin with its `lower` and
        `upper` bound, `rows`, `accuracy` and mean `confidence`, which are None in an empty bin.
    """
    bins, table, rows, weighted_gap, largest_gap = len(sums), [], 0, 0, 0.0
    for index, (count, hits, confidence) in enumerate(sums.tolist()):
        gap = abs((hits << FRACTION_BITS) - confidence)  # times rows; exact, as these are Python's integers
        rows += count
        weighted_gap += gap
        largest_gap = max(largest_gap, from_fixed_point(gap) / count if count else 0.0)
        table.append(
            {
                "lower": index / bins,
                "upper": (index + 1) / bins,
                "rows": count,
                "accuracy": hits / count if count else None,
                "confidence": from_fixed_point(confidence) / count if count else None,
            }
        )
    return {
        "rows": rows,
        "expected_calibration_error": from_fixed_point(weighted_gap) / rows if rows else None,
        "maximum_calibration_error": largest_gap if rows else None,
        "reliability": table,
    }


def brier_sums(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Integers:
    """What a rank adds to the Brier score; to be summed over the ranks.

    Args:
        probabilities: shape (rows, classes).
        labels: the true class of each row, shape (rows,).

    Returns:
        Shape (2,): rows, and the sum over rows and classes of (probability - truth)**2 in units of 2**-30.

    Raises:
        StageError: a value is no probability, or a label no class.
    """
    found = checked_probabilities(probabilities, "probabilities")
    true = _checked_labels(labels, *found.shape)
    errors = found.copy()
    errors[np.arange(len(true)), true] -= 1
    # Each square is rounded by itself: the sum of a row in float64 would depend on how NumPy adds up
    return np.array([len(true), to_fixed_point(errors**2).sum()], np.int64)


def brier_score(sums: Integers) -> float | None:
    """The Brier score from 0 (best) to 2, of the summed `brier_sums`; None without rows.

    It is the one of several classes, as Brier had it; what is used for two classes is often half of it.
    """
    rows, errors = sums.tolist()
    return from_fixed_point(errors) / rows if rows else None


def fit_temperature(keys: Keys, logits: npt.ArrayLike, labels: npt.ArrayLike) -> Temperature:
    """The temperature T that minimizes the mean negative log likelihood of softmax(logits / T), in float64.

    The likelihood is convex in 1 / T: Newton's steps, inside bounds that are halved where a step leaves them. Where
    no finite temperature is best (all predictions are right, or worse than chance) it is the lowest or highest one.
    Rows are sorted first, so that the result has the same bits in whatever order they were gathered.

    Args:
        keys: a doc id or other name of each row, all different.
        logits: shape (rows, classes), all finite; best of rows that the model was not trained on.
        labels: the true class of each row, shape (rows,).

    Raises:
        StageError: a logit is not finite, or a label is no class.
        InputError: a key occurs twice.
    """
    found, true = sorted_by_key(keys, checked_finite(logits, "logits"), np.asarray(labels))
    if not len(found):
        return Temperature(1.0, None, None, 0)
    true = _checked_labels(true, *found.shape)
    # Distances to the true class's logit, of which the likelihood is a function; its own is 0
    distances = np.ascontiguousarray(found - found[np.arange(len(true)), true][:, None])
    before, temperature = _nll(distances, 1.0), _best_temperature(distances)
    after = _nll(distances, 1 / temperature)
    if after > before:  # by rounding alone: the best is 1
        temperature, after = 1.0, before
    return Temperature(temperature, before, after, len(true))


def _best_temperature(distances: Floats) -> float:
    """Where the likelihood's slope is 0, or the bound that it falls to."""
    lowest, highest, inverse = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE, 1.0
    if _slopes(distances, lowest)[0] > 0:
        return HIGHEST_TEMPERATURE
    if _slopes(distances, highest)[0] < 0:
        return LOWEST_TEMPERATURE
    for _ in range(_STEPS):
        slope, curvature = _slopes(distances, inverse)
        if slope == 0:
            break
        lowest, highest = (inverse, highest) if slope < 0 else (lowest, inverse)
        step = inverse - slope / curvature if curvature > 0 else np.inf
        if not lowest < step < highest:
            step = (lowest + highest) / 2
        if abs(step - inverse) <= 1e-12 * inverse:
            break
        inverse = step
    return 1 / inverse


def _nll(distances: Floats, inverse: float) -> float:
    """Mean negative log likelihood at temperature 1 / inverse, in nats a row."""
    scaled = distances * inverse
    largest = scaled.max(axis=1)
    return float((largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))).mean())


def _slopes(distances: Floats, inverse: float) -> tuple[float, float]:
    """First and second derivative of `_nll` by `inverse`: mean and variance of the distances under the softmax."""
    scaled = distances * inverse
    weights = np.exp(scaled - scaled.max(axis=1)[:, None])
    weights /= weights.sum(axis=1)[:, None]
    means = (weights * distances).sum(axis=1)
    return float(means.mean()), float((weights * (distances - means[:, None]) ** 2).sum(axis=1).mean())


def _checked_labels(labels: npt.ArrayLike, rows: int, classes: int) -> Integers:
    """The labels as integers of shape (rows,), each below `classes`."""
    found = np.asarray(labels)
    if found.shape != (rows,) or (rows and not (found.min() >= 0 and found.max() < classes)):
        bounds = f"from {found.min()} to {found.max()}" if found.size else "without values"
        raise StageError(
            f"found labels {bounds} of shape {found.shape}, expected {rows} from 0 to {classes - 1}; "
            "leave out the rows without label"
        )
    return found.astype(np.int64)
