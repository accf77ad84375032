"""Which labels are taken for which others, where a matrix of all of them would be too large to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LARGEST_MATRIX = 30  # labels; each cell is 100 bytes of the page, so 500 labels would be 25 MB
_MOST_SHOWN = 40


class Confused(NamedTuple):
    """Rows of a `true` label that were `answered` with another, among all `of_true`."""

    true: str
    answered: str
    rows: int
    of_true: int


def most_confused(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> list[Confused]:
    """The pairs of labels with the most rows, the most frequent first, equal ones in the order of labels.

    Args:
        confusion: rows of each true label (C) by answered label (C).
        labels: their names.
    """
    found = [
        Confused(labels[true], labels[answered], count, sum(row))
        for true, row in enumerate(confusion)
        for answered, count in enumerate(row)
        if count and true != answered
    ]
    return sorted(found, key=lambda one: -one.rows)[:_MOST_SHOWN]
