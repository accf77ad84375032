"""The ring over torch.distributed with Gloo, NCCL on GPUs, for ranks of torchrun: parity oracle and measured peer."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist

from mapring.errors import in_one_line
from mapring.settings.ring import Ring as RingSettings
from training.ring.interface import RingError

_BACKENDS = "cpu:gloo,cuda:nccl"  # by the device of a tensor; objects and settings travel through the host


class TorchRing:
    """Ranks that find each other by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT."""

    elastic = False

    def __init__(self, settings: RingSettings) -> None:
        self._sums_on_gpu = torch.cuda.is_available() and dist.is_nccl_available()
        self.controller = "torch Gloo with NCCL" if self._sums_on_gpu else "torch Gloo"
        timeout = datetime.timedelta(seconds=settings.stall_shutdown_seconds)
        try:
            dist.init_process_group(_BACKENDS if self._sums_on_gpu else "gloo", timeout=timeout)
        except (RuntimeError, ValueError) as error:
            raise RingError(f"torch.distributed cannot start ({error}); check the launcher and the hosts") from None
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        if self._sums_on_gpu:
            torch.cuda.set_device(self.local_rank % torch.cuda.device_count())  # NCCL asks which, at its first sum

    def members_changed(self) -> bool:
        """Never: torchrun starts all ranks anew instead."""
        return False

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum over the ranks, in place."""
        self._guarded(lambda: [dist.all_reduce(tensor.detach()) for tensor in tensors])

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Copy from rank 0, in place."""
        self._guarded(lambda: [dist.broadcast(tensor.detach(), src=0) for tensor in tensors])

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's value."""
        values = [value]
        self._guarded(lambda: dist.broadcast_object_list(values, src=0))
        return values[0]

    def allgather_object(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        values: list[Any] = [None] * self.size
        self._guarded(lambda: dist.all_gather_object(values, value))
        return values

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._guarded(dist.barrier)

    def shutdown(self) -> None:
        """Leave the ring, once."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except RuntimeError as error:
            reason = in_one_line(error)
            raise RingError(
                f"rank {self.rank}: another rank ended or does not answer ({reason}); look at its messages above, "
                "then start again: training goes on from the last checkpoint"
            ) from None
