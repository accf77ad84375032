"""A ring of one process, for a training without a launcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class SingleRing:
    """One rank; every collective operation is the identity."""

    controller = "single process"
    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    elastic = False

    def members_changed(self) -> bool:
        """Never."""
        return False

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Leave the tensors as they are, which is their sum over one rank."""

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Leave the tensors as they are, which is what rank 0 has."""

    def broadcast_object(self, value: Any) -> Any:
        """Return the value."""
        return value

    def allgather_object(self, value: Any) -> list[Any]:
        """Return the value, alone."""
        return [value]

    def barrier(self) -> None:
        """Wait for nobody."""

    def shutdown(self) -> None:
        """Leave nothing behind."""
