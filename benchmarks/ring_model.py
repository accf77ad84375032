"""What an allreduce takes on N ranks: t = 2 (N - 1) a + 2 (N - 1) / N * S / b.

A ring passes the S bytes of a tensor on in N parts, 2 (N - 1) times: N - 1 times to add up, N - 1 times to hand out.
Each pass costs a seconds whatever its size, and its bytes go at b bytes a second. No allreduce can send less than
2 (N - 1) / N * S from each rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class RingModel(NamedTuple):
    """`latency` in seconds a pass, `bandwidth` in bytes a second."""

    latency: float
    bandwidth: float

    def seconds(self, size: int, ranks: int) -> float:
        """Time of an allreduce of `size` bytes."""
        passes = 2 * (ranks - 1)
        return passes * self.latency + passes / ranks * size / self.bandwidth


def fit(seconds: Mapping[int, float], ranks: int) -> RingModel:
    """The model that is nearest to the measured seconds of each size, by their relative errors."""
    sizes, times = np.array(list(seconds)), np.array(list(seconds.values()))
    passes = 2 * (ranks - 1)
    columns = np.stack([np.full(len(sizes), passes), passes / ranks * sizes], axis=1) / times[:, None]
    (latency, inverse), *_ = np.linalg.lstsq(columns, np.ones(len(sizes)), rcond=None)
    return RingModel(max(float(latency), 0.0), 1 / float(inverse))
