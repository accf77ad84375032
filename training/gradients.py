"""All gradients of a model in a few flat buffers, which is what a ring sums fastest.

Each parameter's `.grad` is a view into a buffer, so backward writes straight into what is sent: no
copy, and a parameter without a gradient contributes zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

BUCKET_ELEMENTS = 4 << 20  # 16 MiB of fp32: large enough for the ring's bandwidth, small enough to pipeline


class FlatGradients:
    """Gradient buffers of some parameters, and `extra` further numbers summed along in the last one.

    Buffers are fp32: Horovod has no bf16 on the wire.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], extra: int) -> None:
        assert all(parameter.dtype == torch.float32 for parameter in parameters)
        self.buckets: list[torch.Tensor] = []
        groups: list[list[nn.Parameter]] = [[]]
        for parameter in parameters:
            if groups[-1] and sum(item.numel() for item in groups[-1]) + parameter.numel() > BUCKET_ELEMENTS:
                groups.append([])
            groups[-1].append(parameter)
        for number, group in enumerate(groups):
            tail = extra if number == len(groups) - 1 else 0
            flat = torch.zeros(sum(item.numel() for item in group) + tail)
            start = 0
            for parameter in group:
                parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
                start += parameter.numel()
            self.buckets.append(flat)
        last = self.buckets[-1]
        self.extra = last[last.numel() - extra :]
        self._gradients = [*self.buckets[:-1], last[: last.numel() - extra]]

    def zero(self) -> None:
        """Set all gradients and extra numbers to 0."""
        for bucket in self.buckets:
            bucket.zero_()

    def scale(self, factor: float) -> None:
        """Multiply all gradients, not the extra numbers."""
        for gradient in self._gradients:
            gradient.mul_(factor)

    def norm(self) -> float:
        """Euclidean norm of all gradients together."""
        return float(torch.stack([torch.linalg.vector_norm(gradient) for gradient in self._gradients]).norm())
