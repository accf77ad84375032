"""Gradient-boosted trees by LightGBM, fitted and applied: the only home of the library.

On one thread and with its deterministic sums, so that the same rows give the same trees to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mapring.discounted_gain import query_figures
from mapring.errors import InputError
from mapring.settings.ranker import Objective, TreeFit

Floats = npt.NDArray[np.float64]

_METRICS = {"lambdarank": "ndcg", "binary": "binary_logloss", "regression": "l2"}
_MOST_RELEVANCE = 30  # LightGBM's gains are powers of two up to there
_MOST_ROWS_OF_GROUP = 10_000  # LightGBM refuses more


class TrainingRows(NamedTuple):
    """Rows to learn from, sorted by group: what is seen (N, F), labels (N,), the group of each, and which are held
    out, (N,).
    """

    seen: Floats
    labels: Floats
    groups: Sequence[str]
    held_out: npt.NDArray[np.bool_]


class Fitted(NamedTuple):
    """Trees in LightGBM's text format, how many there are, and their figure on held-out rows.

    `value` is that of `metric`; NDCG is of the groups with a relevant row alone, None where there is none.
    """

    text: str
    trees: int
    metric: str
    value: float | None
    importance: list[float]  # gain of each feature, as a share


def is_held_out(group: str, share: float, seed: int) -> bool:
    """Whether a group is among the share that is held out, by its hash."""
    digest = hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def fit(rows: TrainingRows, settings: TreeFit, objective: Objective, seed: int, key: str = "ranker") -> Fitted:
    """Fit trees until held-out groups gain nothing more; `key` is that of the settings, for errors.

    Raises:
        InputError: labels do not fit the objective, all groups are on one side, or one is too large.
    """
    import lightgbm

    _check(rows, settings, objective, key)
    metric = _METRICS[objective]
    parameters = {
        "objective": objective,
        "metric": metric,
        "eval_at": [10],
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.rows_per_leaf,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
    }
    training = _dataset(rows, ~rows.held_out, objective)
    validation = _dataset(rows, rows.held_out, objective, training)
    booster = lightgbm.train(
        parameters,
        training,
        settings.rounds,
        valid_sets=[validation],
        valid_names=["held_out"],
        callbacks=[lightgbm.early_stopping(settings.early_stopping, first_metric_only=True, verbose=False)],
    )
    trees = booster.best_iteration or booster.current_iteration()
    gains = np.asarray(booster.feature_importance("gain", iteration=trees), np.float64)
    text = booster.model_to_string(num_iteration=trees)
    [value] = booster.best_score["held_out"].values()
    return Fitted(
        text=text,
        trees=trees,
        metric="ndcg_at_10" if objective == "lambdarank" else metric,
        value=_gain_of_held_out(rows, text) if objective == "lambdarank" else float(value),
        importance=(gains / max(gains.sum(), 1e-300)).tolist(),
    )


class Trees:
    """Fitted trees, applied to rows; what comes out hangs on the row alone."""

    def __init__(self, text: str) -> None:
        import lightgbm

        self.text = text
        self._booster = lightgbm.Booster(model_str=text)
        self.width: int = self._booster.num_feature()

    def __call__(self, seen: Floats) -> Floats:
        """Scores (N,) of rows (N, F)."""
        if not len(seen):
            return np.empty(0)
        found: Floats = np.asarray(self._booster.predict(seen, num_threads=1), np.float64)
        return found


def _gain_of_held_out(rows: TrainingRows, text: str) -> float | None:
    """NDCG@10; LightGBM's own counts a group without a relevant row as 1, so bad candidates would raise it."""
    held = np.flatnonzero(rows.held_out)
    groups = [rows.groups[row] for row in held.tolist()]
    found: float | None = query_figures(groups, Trees(text)(rows.seen[held]), rows.labels[held])["ndcg_at_10"]
    return found


def _dataset(rows: TrainingRows, chosen: npt.NDArray[np.bool_], objective: str, reference: Any = None) -> Any:
    import lightgbm

    groups = [group for group, is_chosen in zip(rows.groups, chosen, strict=True) if is_chosen]
    sizes = _sizes(groups) if objective == "lambdarank" else None
    return lightgbm.Dataset(rows.seen[chosen], rows.labels[chosen], group=sizes, reference=reference)


def _sizes(groups: Sequence[str]) -> list[int]:
    """Rows of each group, which are consecutive."""
    sizes: list[int] = []
    for place, group in enumerate(groups):
        if place and group == groups[place - 1]:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def _check(rows: TrainingRows, settings: TreeFit, objective: Objective, key: str) -> None:
    held = int(rows.held_out.sum())
    if not 0 < held < len(rows.labels):
        raise InputError(
            f"{key}: found {held:,} of {len(rows.labels):,} rows held out for held_out="
            f"{settings.held_out}, expected some on both sides; add groups, or change the share"
        )
    if objective == "regression":
        return
    most = _MOST_RELEVANCE if objective == "lambdarank" else 1
    odd = rows.labels[(rows.labels != np.rint(rows.labels)) | (rows.labels < 0) | (rows.labels > most)]
    if len(odd):
        raise InputError(
            f"{key}: found the label {odd[0]:g} with objective={objective}, expected whole numbers "
            f"from 0 to {most}; change the labels, or set objective=regression"
        )
    if objective == "lambdarank":
        largest = max(_sizes(rows.groups))
        if largest > _MOST_ROWS_OF_GROUP:
            raise InputError(
                f"{key}: found a group of {largest:,} rows, expected at most {_MOST_ROWS_OF_GROUP:,}; cut it"
            )
