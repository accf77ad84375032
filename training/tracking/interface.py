"""What the trainer asks of a place that keeps curves, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

Curve = Literal["train", "validation"]
Values = Mapping[str, float]


class Tracker(Protocol):
    """Keeps the curves of one training. Rank 0 alone has any."""

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        """Take up rows of a curve, each with its `step` (from 1), in rising order of steps.

        Rows of steps that the place has already, of the run that this one goes on with, change nothing.
        """

    def conclude(self, step: int, figures: Values) -> None:
        """Take up the figures of the model to be published, that of `step`, on the test split."""

    def close(self) -> None:
        """Bring everything to its place; nothing may follow."""
