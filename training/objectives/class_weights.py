"""Weights of classes by how often they occur."""

from __future__ import annotations

from collections.abc import Sequence


def balanced_weights(counts: Sequence[float]) -> tuple[float, ...]:
    """Rows / (classes * rows of the class) for each class, with which all classes count alike (King and Zeng 2001).

    A class without rows has weight 0: no row of it is ever trained on, and labels are not smoothed towards it.

    Args:
        counts: labelled rows of each class in an epoch, whatever the sources' sampling weights.
    """
    rows = sum(counts)
    return tuple(rows / (len(counts) * count) if count else 0.0 for count in counts)
