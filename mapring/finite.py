"""Numbers of which none may be infinite or not a number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError


def checked_finite(values: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    """The values as float64 of the same shape.

    Raises:
        StageError: some are infinite or not numbers.
    """
    numbers = np.asarray(values, np.float64)
    odd = int(np.count_nonzero(~np.isfinite(numbers)))
    if odd:
        raise StageError(
            f"{what}: found {odd} of {numbers.size} infinite or not a number, expected finite ones; "
            "the model has diverged: start again from an earlier checkpoint or with a lower learning rate"
        )
    return numbers
