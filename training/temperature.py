"""The temperature that brings a classifier's probabilities nearest to the truth (Guo et al. 2017), over a ring.

The mean negative log likelihood of softmax(logits / T) is convex in 1 / T, so its slope there rises from below 0 to
above it. Slopes are summed as whole numbers: the temperature has the same bits on any number of ranks.
"""

from __future__ import annotations

import numpy as np
import torch

from training.batches import Integers
from training.figures.fixed_point import Floats, to_fixed_point
from training.ring import Ring

LOWEST, HIGHEST = 0.05, 20.0
_POINTS, _ROUNDS = 33, 5  # each round leaves one of 32 parts: 25 bits of the temperature's logarithm
_FRACTION_BITS = 20  # of a row's slope, which is at most the range of its logits


def fit_temperature(ring: Ring, logits: Floats, labels: Integers) -> float | None:
    """The best temperature for all ranks' rows; None where there are no rows, or no best one.

    Where all rows are answered right, as a small split may be, the colder the better without an end: that says nothing
    of how sure the model may be elsewhere. Where answers are worse than chance `HIGHEST` is given, which is near even.

    Args:
        ring: all of its ranks call this.
        logits: of this rank's rows, shape (rows, classes).
        labels: their true classes, shape (rows,).
    """
    distances = logits - np.take_along_axis(logits, labels[:, None], axis=1)  # (rows, classes), 0 for the true class
    count = torch.tensor([len(labels)])
    ring.allreduce_sum([count])
    if not int(count):
        return None
    lowest, highest = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(_ROUNDS):
        points = np.linspace(lowest, highest, _POINTS)
        slopes = torch.from_numpy(np.array([_slope(distances, float(np.exp(point))) for point in points], np.int64))
        ring.allreduce_sum([slopes])
        rising = np.flatnonzero(slopes.numpy() > 0)
        at = int(rising[0]) if len(rising) else _POINTS
        if at in (0, _POINTS):  # falls or rises all the way: only in the first round
            return HIGHEST if at == 0 else None
        lowest, highest = float(points[at - 1]), float(points[at])
    return float(np.exp(-(lowest + highest) / 2))


def _slope(distances: Floats, inverse: float) -> int:
    """Derivative of the summed likelihood by 1 / T: the mean distance of each row under its softmax, in fixed point."""
    scaled = distances * inverse
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    means = (weights * distances).sum(axis=1) / weights.sum(axis=1)
    return int(to_fixed_point(means, _FRACTION_BITS).sum())
