"""A quick backend whose close decisions are computed once more in fp32, so that rounding decides no label.

Rounding to int8 moves logits by a tenth or two, which changes the label of a row only where its two best are that near
to each other. These rows, some percent, are given to the exact backend, and keep its logits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Backend, Ids

Floats = npt.NDArray[np.float32]

COVERED = 0.99  # share of calibration rows whose labels a margin makes sure


class CheckedBackend:
    """Logits of `quick`, and of `exact` in the rows whose two best are nearer than `margin`."""

    def __init__(self, quick: Backend, exact: Backend, margin: float) -> None:
        self._quick, self._exact, self._margin = quick, exact, margin
        self.padding_id = quick.padding_id

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """Logits (B, C)."""
        found = self._quick.logits(input_ids, attention_mask, token_type_ids)
        close = close_rows(found, self._margin)
        if len(close):
            width = int(attention_mask[close].sum(axis=1).max())  # rows are padded on the right
            types = None if token_type_ids is None else token_type_ids[close, :width]
            found[close] = self._exact.logits(input_ids[close, :width], attention_mask[close, :width], types)
        return found


def close_rows(logits: Floats, margin: float) -> npt.NDArray[np.int64]:
    """Rows of logits (N, C), of at least two labels, whose two best are nearer than a margin."""
    best = np.sort(logits, axis=1)
    return np.flatnonzero(best[:, -1] - best[:, -2] < margin)


def margin_between(quick: Floats, exact: Floats) -> float:
    """The margin from which on the quick logits (N, C) have the label of the exact ones, in 99 % of these rows.

    Two logits of a row move against each other by at most the range of what the row's logits moved by.
    """
    moved = quick - exact
    return float(np.quantile(moved.max(axis=1) - moved.min(axis=1), COVERED))
