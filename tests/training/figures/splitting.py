"""Rows dealt out to ranks at random, to compare what the ranks find together with what one finds alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
RANKS = st.integers(1, 7)


def dealt(rows: int, ranks: int, seed: int) -> list[np.ndarray]:
    """Numbers of rows in random order, in as many parts of random sizes, some of which may be empty."""
    generator = np.random.default_rng(seed)
    order, owners = generator.permutation(rows), generator.integers(0, ranks, rows)
    return [order[owners == rank] for rank in range(ranks)]


def summed(count: Callable[..., np.ndarray], columns: tuple[Any, ...], ranks: int, seed: int) -> np.ndarray:
    """What a ring would make of the integers that each rank counts of its part of the columns."""
    parts = dealt(len(columns[0]), ranks, seed)
    found = [count(*(np.asarray(column)[part] for column in columns)) for part in parts]
    assert all(array.dtype == np.int64 and array.flags.c_contiguous for array in found)
    return reduce(np.add, found)


def gathered(columns: tuple[Any, ...], ranks: int, seed: int) -> list[np.ndarray]:
    """The columns as they come from the ranks: one rank's rows after the other's."""
    order = np.concatenate(dealt(len(columns[0]), ranks, seed))
    return [np.asarray(column)[order] for column in columns]


def names(rows: int) -> list[str]:
    """A doc id for each row."""
    return [f"{row:032x}" for row in range(rows)]
