"""Trees for the last order of a shortlist, which the first trees chose and a model of texts has read.

Trees are too sure of the moments that they learned from: a shortlist of theirs would have its likes at the top, as no
later one has. So the moments are dealt out to folds by their users, and each fold's shortlists are those of trees that
learned from the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.settings.ranker import TreeFit
from spark_jobs.ranking.published import rows_of
from spark_jobs.ranking.trees import Floats, TrainingRows, fit

FOLDS = 4
_KEY = "recommend.trees"


class SecondTrees(NamedTuple):
    """Trees that see what the model says, trees that do not, what they learned from, and what there is to tell."""

    trees: str
    plain: str
    seen: Floats
    evaluation: dict[str, Any]


def training_rows(table: pa.Table, held: npt.NDArray[np.bool_]) -> TrainingRows:
    """Rows of LEARNED, sorted by query, as trees learn from them; `held` tells which queries are held out, (Q,)."""
    of_query = table.column("query").to_numpy()
    return TrainingRows(
        seen=rows_of(table, "seen"),
        labels=table.column("label").to_numpy(),
        groups=[f"{number:08d}" for number in of_query.tolist()],
        held_out=held[of_query],
    )


def fold_of(user: str, seed: int) -> int:
    """The fold of a user's moments, by a hash."""
    digest = hashlib.blake2b(f"{seed}\0fold\0{user}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % FOLDS


def fit_for_folds(rows: TrainingRows, folds: npt.NDArray[np.int64], settings: TreeFit, seed: int) -> list[str]:
    """Trees for each fold, which see none of its rows but held-out ones, by which all fits end.

    Args:
        rows: to learn from.
        folds: of each row, (N,).
        settings: how they are fitted.
        seed: of the fit.
    """
    found = []
    for fold in range(FOLDS):
        kept = rows.held_out | (folds != fold)
        groups = [group for group, is_kept in zip(rows.groups, kept, strict=True) if is_kept]
        others = TrainingRows(rows.seen[kept], rows.labels[kept], groups, rows.held_out[kept])
        found.append(fit(others, settings, "lambdarank", seed, _KEY).text)
    return found


def fit_second(
    table: pa.Table, held: npt.NDArray[np.bool_], names: Sequence[str], settings: TreeFit, seed: int
) -> SecondTrees:
    """Trees for the order of shortlists.

    Args:
        table: rows of LEARNED of shortlists, sorted by query; what the model says is the last number of each.
        held: which queries are held out, (Q,).
        names: of the numbers.
        settings: how trees are fitted.
        seed: of the fit.
    """
    rows = training_rows(table, held)
    fitted = fit(rows, settings, "lambdarank", seed, _KEY)
    plain = fit(rows._replace(seen=rows.seen[:, :-1]), settings, "lambdarank", seed, _KEY)
    evaluation = {
        "rows": len(table),
        "likes": int(rows.labels.sum()),
        "unread": int(np.isnan(rows.seen[:, -1]).sum()),
        "trees": fitted.trees,
        "held_out_ndcg_at_10": fitted.value,
        "held_out_ndcg_at_10_without_model": plain.value,
        "gain_share": dict(zip(names, fitted.importance, strict=True)),
    }
    return SecondTrees(fitted.text, plain.text, rows.seen, evaluation)
