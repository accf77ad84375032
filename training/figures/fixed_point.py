"""Fixed-point numbers: fractions as integers, which have the same sum in any order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from mapring.finite import checked_finite
from training.batches import Integers

Floats = npt.NDArray[np.float64]

FRACTION_BITS = 30  # of a number from 0 to 1: finer than float32, and eight thousand million rows fit into 63 bits
_SLACK = 1e-3  # by which a probability in float32 or bf16 may leave the range from 0 to 1


def to_fixed_point(values: npt.ArrayLike, fraction_bits: int = FRACTION_BITS) -> Integers:
    """Finite numbers as whole multiples of 2**-fraction_bits, rounded half to even; of the same shape."""
    return np.rint(np.ldexp(np.asarray(values, np.float64), fraction_bits)).astype(np.int64)


def from_fixed_point(total: int, fraction_bits: int = FRACTION_BITS) -> float:
    """The number that an integer stands for, correctly rounded to float64."""
    return int(total) / (1 << fraction_bits)


def checked_probabilities(values: npt.ArrayLike, what: str) -> Floats:
    """Probabilities as float64 from 0 to 1, of the same shape; what rounding took beyond comes back.

    Raises:
        StageError: some are no probabilities.
    """
    numbers = checked_finite(values, what)
    if numbers.size and (numbers.min() < -_SLACK or numbers.max() > 1 + _SLACK):
        raise StageError(
            f"{what}: found values from {numbers.min():.6g} to {numbers.max():.6g}, expected probabilities "
            "from 0 to 1; apply softmax or a sigmoid to logits first"
        )
    return np.clip(numbers, 0.0, 1.0)
