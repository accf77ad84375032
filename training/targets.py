"""Mean and deviation of the training split's targets, with the same bits for any number of ranks.

Targets become whole multiples of a small unit, the largest target having 30 binary digits, before they are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch

from mapring import contract, storage
from training.figures.fixed_point import Floats, from_fixed_point, to_fixed_point
from training.ring import Ring
from training.shard_check import files_of_rank

_BITS = 30  # so that 2**33 rows fit into 63 bits


class TargetScale(NamedTuple):
    """Mean and deviation (root of the mean squared distance to the mean) of targets, and how many there are."""

    mean: float
    deviation: float
    rows: int

    @property
    def root_mean_square(self) -> float:
        """Root of the mean squared target."""
        return float(np.hypot(self.mean, self.deviation))


def target_scale(ring: Ring, directory: str) -> TargetScale:
    """The scale of the targets of the training split, over all ranks; the deviation is 1 where all are equal.

    Each rank reads the targets of its own lanes three times, a file at a time.
    """
    largest = max((float(np.abs(own).max(initial=0.0)) for own in _targets(ring, directory)), default=0.0)
    largest = max(ring.allgather_object(largest))
    exponent = int(np.frexp(largest)[1])  # a power of two, so that scaling rounds nothing
    counts = torch.zeros(2, dtype=torch.int64)  # rows, their sum
    for own in _targets(ring, directory):
        counts[0] += len(own)
        counts[1] += int(to_fixed_point(np.ldexp(own, -exponent), _BITS).sum())
    ring.allreduce_sum([counts])
    rows, total = counts.tolist()
    if not rows:
        return TargetScale(0.0, 1.0, 0)
    mean = from_fixed_point(total, _BITS) / rows
    squares = torch.zeros(1, dtype=torch.int64)
    for own in _targets(ring, directory):
        distances = (np.ldexp(own, -exponent) - mean) / 2  # at most 1
        squares += int(to_fixed_point(distances**2, _BITS).sum())
    ring.allreduce_sum([squares])
    deviation = 2 * float(np.sqrt(from_fixed_point(int(squares), _BITS) / rows))
    return TargetScale(float(np.ldexp(mean, exponent)), float(np.ldexp(deviation, exponent)) or 1.0, rows)


def _targets(ring: Ring, directory: str) -> Iterator[Floats]:
    """Targets of this rank's lanes, file by file."""
    for path in files_of_rank(contract.read_manifest(directory), "train", ring):
        with storage.open_read(storage.join(directory, path)) as handle:
            yield pq.read_table(handle, columns=["target"])["target"].drop_null().to_numpy()
