"""Inner products of queries with a block of a bank, and how wrong they can be: in float32, or faster in bfloat16.

Processors with instructions for bfloat16 multiply it twice as fast as float32 (measured on a Zen 4: 512 by 20,000
vectors of 384 numbers in 40 ms instead of 79). Its 8 bits of precision are enough to propose, since what is proposed is
decided in float64. NumPy has no such product, and importing torch takes a worker a second and a half. So a worker
begins in float32 and changes over when it has worked as long as that import takes: it never loses more than it has
spent. Where vectors are so much alike that bfloat16 proposes too many of them, it goes back.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_FLOAT32 = 2.0**-24  # relative error of one operation
_BFLOAT16 = 2.0**-8
_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # of x86; nothing else was measured
_WORTH = 1e11  # products of two numbers, about two seconds of float32 on one core
_LEAST_ROWS = 4096  # of a bank; with fewer the product is not what takes the time
_MOST_DONE_TWICE = 0.25  # of the queries; half of the time is saved, so a half would be break-even
_FEWEST_TOLD = 512  # queries before that share is judged by: a failed text alone, a vector of zeros, is like all others


class Work:
    """How many products of two numbers this process has done; tells when bfloat16 begins to pay."""

    def __init__(self) -> None:
        self._done = 0.0
        self._queries = self._twice = 0  # in bfloat16; those of them that were done again

    def is_brief(self, queries: int, vectors: int, dimensions: int) -> bool:
        """Count a piece of work, and whether it is to be done in bfloat16."""
        before = self._done
        self._done += float(queries) * vectors * dimensions
        is_worth = self._queries < _FEWEST_TOLD or self._twice <= _MOST_DONE_TWICE * self._queries
        return is_worth and before >= _WORTH and vectors >= _LEAST_ROWS and has_fast_bfloat16()

    def note_done_twice(self, twice: int, queries: int) -> None:
        """How many of the queries of a call in bfloat16 had to be done again in float32; many end bfloat16."""
        self._twice += twice
        self._queries += queries


class Products:
    """The products of one thread, which keeps its memory: fresh memory of that size costs a fifth of the time.

    Args:
        rows: most queries at a time.
        is_brief: whether in bfloat16.
    """

    def __init__(self, rows: int, *, is_brief: bool) -> None:
        self.is_brief = is_brief
        self._rows = rows
        self._memory: Vectors = np.empty(0, np.float32)
        self._brief_memory: Any = None
        self._block: Any = None

    def take(self, block: Vectors) -> None:
        """The block, (N, H), of the products that follow."""
        if self._memory.size < self._rows * len(block):
            self._memory = np.empty(self._rows * len(block), np.float32)
        if not self.is_brief:
            self._block = block.T
            return
        import torch

        if self._brief_memory is None or self._brief_memory.numel() < self._memory.size:
            self._brief_memory = torch.empty(self._memory.size, dtype=torch.bfloat16)
        self._block = _brief(block).T

    def of(self, queries: Vectors) -> Vectors:
        """Products of queries (Q, H) with the block, (Q, N); they stand until the next call."""
        shape = len(queries), self._block.shape[1]
        found = self._memory[: shape[0] * shape[1]].reshape(shape)
        if not self.is_brief:
            return np.matmul(queries, self._block, out=found)
        import torch

        brief = self._brief_memory[: found.size].view(shape)
        torch.mm(_brief(queries), self._block, out=brief)
        torch.from_numpy(found).copy_(brief)
        return found

    def error(self, queries: Vectors) -> float:
        """How far a product can be from the true one, for queries (Q, H) and vectors of a bank of about length 1.

        Sums of H products in float32 are wrong by at most H units of rounding, each relative to the product of the
        lengths (Higham 2002, 3.5). In bfloat16 both factors and the result are rounded besides.
        """
        length = max(1.0, float(np.sqrt(np.einsum("qh,qh->q", queries, queries).max(initial=0)))) * 1.001
        summed = queries.shape[1] * _FLOAT32
        relative: float = 3.1 * _BFLOAT16 + summed if self.is_brief else summed
        return length * relative


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by instructions of its own, and torch is there to use them."""
    information = Path("/proc/cpuinfo")
    if importlib.util.find_spec("torch") is None or not information.exists():
        return False
    return not _FLAGS.isdisjoint(information.read_text().split())


@contextmanager
def one_thread_of_torch() -> Iterator[None]:
    """Within, a product of torch uses one thread, for there are several that make products."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _brief(vectors: Vectors) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(vectors)).to(torch.bfloat16)
