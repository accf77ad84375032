"""The bins that rows are counted in: the same ones for a model's reference and for what is scored by it.

A bin is a string: a label or a language as it stands, the lower bound of lengths and shares, and the number of an
interval of numbers that the reference gives edges for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.histogram import lower_bounds

LENGTH_OCTAVE_BINS = 4  # a fifth of a length apart; few bins make small drifts seen sooner
SHARE_OCTAVE_BINS = 1  # none, one of 128 tokens, of 64, of 32, ...

Strings = npt.NDArray[np.str_]


def length_bins(tokens: npt.ArrayLike) -> Strings:
    """The bins of lengths in tokens, of any shape."""
    return _named(lower_bounds(tokens, shares=False, octave_bins=LENGTH_OCTAVE_BINS))


def unknown_bins(unknown: npt.ArrayLike, tokens: npt.ArrayLike) -> Strings:
    """The bins of the shares of unknown tokens; a text without tokens has none."""
    of = np.maximum(np.asarray(tokens, np.float64), 1)
    return _named(lower_bounds(np.asarray(unknown, np.float64) / of, shares=False, octave_bins=SHARE_OCTAVE_BINS))


def interval_bins(values: npt.ArrayLike, edges: Sequence[float]) -> Strings:
    """The numbers of the intervals that values are in: one holds its lower edge, the outer ones what is beyond."""
    places = np.searchsorted(np.asarray(edges), np.asarray(values, np.float64), side="right") - 1
    return np.clip(places, 0, len(edges) - 2).astype(np.str_)


def counted(bins: Strings | pa.Array) -> dict[str, int]:
    """How often each bin is there, in the order of their names."""
    return dict(sorted(Counter(bins.tolist() if isinstance(bins, np.ndarray) else bins.to_pylist()).items()))


def _named(bounds: npt.NDArray[np.float64]) -> Strings:
    different, place = np.unique(bounds, return_inverse=True)
    return np.array([f"{bound:.17g}" for bound in different], np.str_)[place]
