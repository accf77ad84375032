"""Figures of regression from gathered rows: errors, the share of explained variance, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.finite import checked_finite
from training.figures.fixed_point import Floats
from training.figures.rows import Keys, sorted_by_key


def regression_figures(keys: Keys, predictions: npt.ArrayLike, targets: npt.ArrayLike) -> dict[str, Any]:
    """Figures in float64, with the same bits in whatever order the rows were gathered, as they are sorted first.

    Args:
        keys: a doc id or other name of each row, all different.
        predictions: what the model says, shape (rows,), in the unit of the targets.
        targets: what is true, shape (rows,).

    Returns:
        `rows`; `mse` and `mae`, None without rows; `r2`, the coefficient of determination, None where targets are
        all equal; `pearson` and `spearman`, None where predictions or targets are all equal.

    Raises:
        StageError: a value is not finite.
        InputError: a key occurs twice.
    """
    columns = checked_finite(predictions, "predictions"), checked_finite(targets, "targets")
    found, true = sorted_by_key(keys, *columns)
    rows = len(true)
    errors = found - true
    spread = float(((true - true.mean()) ** 2).sum()) if rows and not _constant(true) else 0.0
    return {
        "rows": rows,
        "mse": float((errors**2).mean()) if rows else None,
        "mae": float(np.abs(errors).mean()) if rows else None,
        "r2": 1 - float((errors**2).sum()) / spread if spread else None,
        "pearson": _correlation(found, true),
        "spearman": _correlation(mean_ranks(found), mean_ranks(true)),
    }


def mean_ranks(values: npt.ArrayLike) -> Floats:
    """The rank of each value, 1 for the least, shape (rows,); equal values share the mean of their ranks."""
    _, index, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[index.reshape(-1)])


def _correlation(first: Floats, second: Floats) -> float | None:
    """Pearson's correlation of two columns of shape (rows,)."""
    if not len(first) or _constant(first) or _constant(second):
        return None
    left, right = _centred(first), _centred(second)
    norm = np.sqrt((left**2).sum()) * np.sqrt((right**2).sum())
    return float(np.clip((left * right).sum() / norm, -1, 1))


def _centred(values: Floats) -> Floats:
    """Distances to the mean, the largest of them 1, so that no square overflows or vanishes."""
    distances = values - values.mean()
    return np.asarray(distances / np.abs(distances).max())


def _constant(values: Floats) -> bool:
    """Whether all values are equal: their variance itself may round to something above 0."""
    return bool((values == values[0]).all())
