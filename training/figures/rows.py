"""Gathered rows in an order that does not depend on the ranks they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.errors import InputError, StageError

Keys = Sequence[str] | Sequence[int] | npt.NDArray[Any]  # doc ids or other names of rows, each of them once


def sorted_by_key(keys: Keys, *columns: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The columns with their rows in ascending order of the keys; strings are ordered by code points.

    Args:
        keys: one for each row, all different.
        columns: arrays of shape (rows, ...).

    Raises:
        InputError: a key occurs twice; such rows have no order, and would count twice.
        StageError: a column has more or fewer rows than there are keys.
    """
    names = np.asarray(keys)
    for column in columns:
        if len(column) != len(names):
            raise StageError(
                f"found {len(column)} rows in a column for {len(names)} keys, expected one each; "
                "gather every column from all ranks in the same order"
            )
    order = np.argsort(names, kind="stable")
    ordered = names[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise InputError(
            f"found row {ordered[twice[0]]!s} twice among {len(names)} gathered rows, expected each once; "
            "give every row a key of its own, and gather each from one rank only"
        )
    return [column[order] for column in columns]
