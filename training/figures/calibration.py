"""Whether a model's probabilities are what they say.

Bins are those of Guo, Pleiss, Sun and Weinberger (2017), the score is that of Brier (1950).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from training.batches import Integers
from training.figures.fixed_point import (
    FRACTION_BITS,
    checked_probabilities,
    from_fixed_point,
    to_fixed_point,
)

BINS = 15  # of equal width, as in Guo et al.


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
