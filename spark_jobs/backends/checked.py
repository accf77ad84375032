"""A quick backend whose close decisions are computed once more in fp32, so that rounding decides no label.

Rounding to int8 moves logits by a tenth or two, which changes the label of a row only where its two best are that near
to each other. These rows, some percent, are given to the exact backend, and keep its logits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Backend, Ids

Floats = npt.NDArray[np.float32]

COVERED = 0.9  # share of calibration rows whose labels a margin makes sure; the others are seldom close ones


class CheckedBackend:
    """Logits of a quick backend; whoever computes with it has close rows computed again by `exact`."""

    def __init__(self, quick: Backend, exact: Backend, margin: float) -> None:
        self.exact = exact
        self.padding_id = quick.padding_id
        self._quick, self._margin = quick, margin

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """Logits (B, C) of the quick backend."""
        return self._quick.logits(input_ids, attention_mask, token_type_ids)

    def close_rows(self, logits: Floats) -> list[int]:
        """Rows of logits (N, C), of at least two labels, whose two best are nearer than the margin."""
        best = np.sort(logits, axis=1)
        found: list[int] = np.flatnonzero(best[:, -1] - best[:, -2] < self._margin).tolist()
        return found


def margin_between(quick: Floats, exact: Floats) -> float:
    """The margin from which on the quick logits (N, C) have the label of the exact ones, in nine of ten of these rows.

    Two logits of a row move against each other by at most the range of what the row's logits moved by.
    """
    moved = quick - exact
    return float(np.quantile(moved.max(axis=1) - moved.min(axis=1), COVERED))
