"""Bins of histograms that depend on no data, so that tasks can count apart and counts can be added.

Two kinds, by what is counted. *Shares* lie between 0 and 1 and get bins of equal width. Everything else (lengths,
numbers, ratios) gets eight bins in each octave, which tell 9 from 10 as well as 9,000 from 10,000; zero has its own.
Bins are named by their lower bounds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SHARE_BINS = 50
OCTAVE_BINS = 8
_SLACK = 1e-4  # of a bin: float32(0.3) is a little less than 0.3


def is_share(measure: str) -> bool:
    """Whether a measure, by its name, lies between 0 and 1."""
    return measure.endswith(("_share", "_score"))


def lower_bounds(values: npt.ArrayLike, *, shares: bool, octave_bins: int = OCTAVE_BINS) -> Floats:
    """The lower bound of the bin of each value; exact, so that equal bins compare equal.

    Args:
        values: finite and not negative, of any shape.
        shares: whether the values lie between 0 and 1; a bin is then 1 / SHARE_BINS wide.
        octave_bins: otherwise the bins of an octave, a power of two; fewer bins are unions of more.
    """
    numbers = np.asarray(values, np.float64)
    if shares:
        return np.asarray(np.floor(numbers * SHARE_BINS + _SLACK) / SHARE_BINS)
    fraction, exponent = np.frexp(numbers)  # fraction in [0.5, 1), or 0
    steps = 2 * octave_bins
    return np.asarray(np.ldexp(np.floor(fraction * steps) / steps, exponent))


def upper_bound(lower: float, *, shares: bool, octave_bins: int = OCTAVE_BINS) -> float:
    """Where the next bin begins; the bin of zero ends where numbers begin, at 0 itself."""
    if shares:
        return (round(lower * SHARE_BINS) + 1) / SHARE_BINS
    if lower == 0:
        return 0.0
    fraction, exponent = math.frexp(lower)
    return math.ldexp(fraction + 1 / (2 * octave_bins), exponent)
