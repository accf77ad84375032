"""Mean and deviation of the training split's targets, with the same bits for any number of ranks.

Targets become whole multiples of a small unit, the largest target having 30 binary digits, before they are added; their
distances to the mean alike, with a unit of their own, as they may be much smaller than the targets.
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
    ends = [(float(own.min()), float(own.max())) for own in _targets(ring, directory) if len(own)]
    ends = [pair for own in ring.allgather_object(ends) for pair in own]
    if not ends:
        return TargetScale(0.0, 1.0, 0)
    least, most = min(pair[0] for pair in ends), max(pair[1] for pair in ends)
    exponent = _exponent(max(-least, most))
    counts = torch.zeros(2, dtype=torch.int64)  # rows, their sum
    for own in _targets(ring, directory):
        counts[0] += len(own)
        counts[1] += int(to_fixed_point(np.ldexp(own, -exponent), _BITS).sum())
    ring.allreduce_sum([counts])
    rows, total = counts.tolist()
    mean = float(np.ldexp(from_fixed_point(total, _BITS) / rows, exponent))
    exponent = _exponent(max(most - mean, mean - least))
    squares = torch.zeros(1, dtype=torch.int64)
    for own in _targets(ring, directory):
        squares += int(to_fixed_point(np.ldexp(own - mean, -exponent) ** 2, _BITS).sum())
    ring.allreduce_sum([squares])
    deviation = float(np.ldexp(np.sqrt(from_fixed_point(int(squares), _BITS) / rows), exponent))
    return TargetScale(mean, deviation if most > least else 1.0, rows)


def _exponent(largest: float) -> int:
    """Of a power of two that is not exceeded, so that scaling by it rounds nothing."""
    return int(np.frexp(largest)[1])


def _targets(ring: Ring, directory: str) -> Iterator[Floats]:
    """Targets of this rank's lanes, file by file."""
    for path in files_of_rank(contract.read_manifest(directory), "train", ring):
        with storage.open_read(storage.join(directory, path)) as handle:
            yield pq.read_table(handle, columns=["target"])["target"].drop_null().to_numpy()
