"""Figures of ranked rows, from gathered ones: how well scores tell relevant rows from others.

None of them depends on the order in which rows were gathered: rows of equal score are always looked at together, and
what is added up is whole numbers, or stands in an order that the values themselves determine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from mapring.finite import checked_finite
from training.batches import Integers


def roc_auc(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float | None:
    """The area under the receiver operating characteristic, which is Mann and Whitney's U (1947) over all pairs.

    The share of pairs of a positive and a negative row in which the positive one has the higher score; a tie counts
    half. A quotient of two whole numbers, so exact.

    Args:
        scores: shape (rows,), all finite.
        targets: whether a row is positive, shape (rows,).

    Returns:
        From 0 to 1; None without rows of both kinds.

    Raises:
        StageError: a score is not finite, or there are not as many as targets.
    """
    positive, total = _by_score(scores, targets)
    negative = total - positive
    pairs = int(positive.sum()) * int(negative.sum())
    if not pairs:
        return None
    lower = np.cumsum(negative[::-1])[::-1] - negative  # negative rows of a lower score
    return int((positive * (2 * lower + negative)).sum()) / (2 * pairs)


def average_precision(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float | None:
    """The mean over positive rows of the precision among the rows that score at least as high.

    As in scikit-learn, without interpolation. Arguments and errors are those of `roc_auc`.

    Returns:
        From 0 to 1; None without positive rows.
    """
    positive, total = _by_score(scores, targets)
    relevant = int(positive.sum())
    if not relevant:
        return None
    return float((positive * (np.cumsum(positive) / np.cumsum(total))).sum() / relevant)


def _by_score(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Integers, Integers]:
    """How many positive rows, and rows, each different score has; the highest score first."""
    found, positive = checked_finite(scores, "scores"), np.asarray(targets, np.bool_)
    if found.shape != positive.shape or found.ndim != 1:
        raise StageError(
            f"found scores of shape {found.shape} and targets of shape {positive.shape}, expected (rows,) for both; "
            "gather both columns from all ranks in the same order"
        )
    _, index, counts = np.unique(found, return_inverse=True, return_counts=True)
    hits = np.bincount(index, weights=positive, minlength=len(counts)).astype(np.int64)
    return hits[::-1], counts.astype(np.int64)[::-1]
