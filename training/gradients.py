"""All gradients of a model in a few flat buffers, which is what a ring sums fastest.

Each parameter's `.grad` is a view into a buffer, so backward writes straight into what is sent: no
copy, and a parameter without a gradient contributes zeros. Of embeddings, only the rows are sent that
the batch of any rank touches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from training.embedding_gradients import EmbeddingGradient
from training.ring import Ring

Wire = Literal["fp32", "fp16"]

_HALF_MOST = 32_768.0  # half of what fp16 holds, a power of two: no sum of ranks comes near its end
BUCKET_ELEMENTS = 4 << 20  # 16 MiB of fp32
# A ring of N ranks passes on N-ths of what it sums. With N-ths of 2 MiB, which stay in a core's cache, 91 MB over MPI
# took 24 ms; with those of 8 MiB and more 28 to 51 ms, and with 0.25 MiB 31 ms. Over Gloo none was faster.
_PART_ELEMENTS = 1 << 19


class FlatGradients:
    """Gradient buffers of some parameters, and `extra` further numbers summed along in the last one.

    Buffers are fp32, whatever the arithmetic of forward and backward, on the device of the parameters.

    Args:
        parameters: all of them, in an order that is the same on all ranks.
        extra: how many further numbers.
        embeddings: whose weights are among the parameters, and of which a batch touches few rows.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], extra: int, embeddings: Sequence[nn.Embedding] = ()) -> None:
        assert all(parameter.dtype == torch.float32 for parameter in parameters)
        apart = {id(embedding.weight) for embedding in embeddings}
        self._embeddings = [EmbeddingGradient(embedding) for embedding in embeddings]
        self.buckets: list[torch.Tensor] = []
        groups: list[list[nn.Parameter]] = [[]]
        for parameter in parameters:
            if id(parameter) in apart:
                continue
            if groups[-1] and sum(item.numel() for item in groups[-1]) + parameter.numel() > BUCKET_ELEMENTS:
                groups.append([])
            groups[-1].append(parameter)
        for number, group in enumerate(groups):
            tail = extra if number == len(groups) - 1 else 0
            flat = torch.zeros(sum(item.numel() for item in group) + tail, device=parameters[0].device)
            start = 0
            for parameter in group:
                parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
                start += parameter.numel()
            self.buckets.append(flat)
        last = self.buckets[-1]
        self.extra = last[last.numel() - extra :]
        dense = [*self.buckets[:-1], last[: last.numel() - extra]]
        self._dense = [part for part in dense if part.numel()]

    def sum_over(self, ring: Ring, wire: Wire) -> None:
        """Replace gradients and extra numbers by their sums over the ranks, bit-identical on all of them.

        Over an fp16 wire a bucket is first multiplied by the power of two that brings the sum of the ranks' largest
        gradients just below half of what fp16 holds. So none overflows, however large bf16 has let it grow, a scale
        costs no bit, and what is lost is below 2**-38 of the bucket's largest gradient, or 2**-10 of the gradient
        itself. The extra numbers are summed in fp32: they count rows and tokens, which fp16 cannot above 2,048.

        Which rows of embeddings any rank has touched is found out first, in a small message of its own.
        """
        most = _PART_ELEMENTS * ring.size
        touched = [embedding.row_maxima() for embedding in self._embeddings]
        if wire == "fp32":
            self._choose_rows(ring, touched, [])
            ring.allreduce_sum(_cut([*self.buckets, *(embedding.packed for embedding in self._embeddings)], most))
        else:
            largest = torch.stack([part.abs().max() for part in (*self._dense, *touched)])
            head = torch.cat([self.extra, largest])
            self._choose_rows(ring, touched, [head])
            self.extra.copy_(head[: len(self.extra)])
            scales = [_scale(bound) for bound in head[len(self.extra) :].tolist()]
            halves = [(gradient * scale).half() for gradient, scale in zip(self._gradients, scales, strict=True)]
            ring.allreduce_sum(_cut(halves, 2 * most))
            for gradient, half, scale in zip(self._gradients, halves, scales, strict=True):
                gradient.copy_(half).div_(scale)
        self._put_back()

    def zero(self) -> None:
        """Set all gradients and extra numbers to 0."""
        for bucket in self.buckets:
            bucket.zero_()
        for embedding in self._embeddings:
            embedding.zero()

    def scale(self, factor: float) -> None:
        """Multiply all gradients, not the extra numbers."""
        for gradient in self._gradients:
            gradient.mul_(factor)
        self._put_back()

    def norm(self) -> float:
        """Euclidean norm of all gradients together."""
        return float(torch.stack([torch.linalg.vector_norm(gradient) for gradient in self._gradients]).norm())

    @property
    def _gradients(self) -> list[torch.Tensor]:
        """All that may differ from 0, in flat pieces, those of embeddings last."""
        return [*self._dense, *(embedding.packed for embedding in self._embeddings)]

    def _choose_rows(self, ring: Ring, row_maxima: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> None:
        """Sum which rows are touched, and what else is small, over the ranks; then choose those rows."""
        touched = [(maxima != 0).float() for maxima in row_maxima]
        if touched or others:
            ring.allreduce_sum([*others, *touched])
        for embedding, counts in zip(self._embeddings, touched, strict=True):
            embedding.choose(counts)

    def _put_back(self) -> None:
        for embedding in self._embeddings:
            embedding.put_back()


def _cut(tensors: Sequence[torch.Tensor], most: int) -> list[torch.Tensor]:
    """The same memory in pieces of at most so many elements, none of them empty."""
    return [piece for tensor in tensors if tensor.numel() for piece in torch.split(tensor, most)]


def _scale(bound: float) -> float:
    """The largest power of two that keeps `bound` within `_HALF_MOST`; 1 where the bound is 0 or not finite."""
    if not math.isfinite(bound) or bound == 0:
        return 1.0
    return 2.0 ** max(-126, min(126, math.floor(math.log2(_HALF_MOST / bound))))
