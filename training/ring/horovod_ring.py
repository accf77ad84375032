"""The ring over Horovod, with the Gloo or the MPI controller; the only module that knows Horovod.

Horovod's DistributedOptimizer is not used: it averages over ranks rather than rows, drops optimizer
state when wrapping, and steps once while broadcasting. Only its collectives are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import horovod.torch as hvd
import torch
from horovod.common.elastic import notification_manager
from horovod.common.exceptions import HorovodInternalError

from mapring.errors import in_one_line
from mapring.settings.ring import Ring as RingSettings
from training.ring.interface import RingError
from training.ring.launch import is_elastic


def _set_environment(settings: RingSettings) -> None:
    """Tell Horovod's background thread how to behave, where the user has not."""
    stall = settings.stall_shutdown_seconds
    defaults = {
        "HOROVOD_CYCLE_TIME": f"{settings.cycle_time_ms or _cycle_time_ms():g}",
        "HOROVOD_STALL_CHECK_TIME_SECONDS": str(max(5, stall // 2)),
        "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": str(stall),  # off by default: a dead rank would hang the others
    }
    if not is_elastic():
        # Our buckets are flat already, and fusing copies them once more. But Horovod 0.28.1 dies of a segmentation
        # fault when it is started a second time in a process and both this and the cycle time are set.
        defaults["HOROVOD_FUSION_THRESHOLD"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _cycle_time_ms() -> float:
    """Pause between the background thread's rounds: in Horovod as it comes a sum waits half of it on average.

    On 2 cores a training with Gloo lost 40 % of its speed at Horovod's 1 ms, and 2 % at 3 ms; one with MPI, whose
    rounds go through memory, had 2 % more at 3 ms than at 10. That of `scripts/patch_horovod.py` wakes for a sum.
    """
    return 3.0 if "OMPI_COMM_WORLD_RANK" in os.environ else 10.0


class _Notices:
    """Hears from horovodrun that hosts came or went. Lives as long as the process, over all its rings."""

    def __init__(self) -> None:
        self.heard = False
        notification_manager.init()
        notification_manager.register_listener(self)

    def on_hosts_updated(self, _timestamp: int, _change: int) -> None:
        """Called by Horovod in a thread of its own."""
        self.heard = True


@cache
def _notices() -> _Notices:
    return _Notices()


class HorovodRing:
    """Ranks started by horovodrun (Gloo) or mpirun (MPI).

    A process may be in several rings one after the other: where horovodrun discovers hosts, a ring that breaks or is
    left is followed by a new one, of the ranks that there are then.

    Raises:
        RingError: Horovod cannot be initialized.
    """

    def __init__(self, settings: RingSettings) -> None:
        _set_environment(settings)
        self.elastic = is_elastic()
        self._notices = _notices() if self.elastic else None
        if self._notices is not None:
            self._notices.heard = False  # before the ring forms: a notice too many costs seconds, one too few a rank
        try:
            hvd.init()
        except (RuntimeError, ValueError, ImportError) as error:
            raise RingError(f"Horovod cannot start ({error}); check the launcher and the hosts") from None
        self.controller = "Horovod MPI" if hvd.mpi_enabled() else "Horovod Gloo"
        self._sums_on_gpu = bool(hvd.nccl_built())
        if torch.cuda.is_available():
            self.controller += " with NCCL" if self._sums_on_gpu else " without NCCL, sums of GPUs through host memory"
        self.rank, self.size = int(hvd.rank()), int(hvd.size())
        self.local_rank, self.local_size = int(hvd.local_rank()), int(hvd.local_size())
        self._closed = False

    def members_changed(self) -> bool:
        """Whether horovodrun has told this rank of hosts that came or went."""
        return self._notices is not None and self._notices.heard

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum over the ranks, in place."""
        self._together("sum", tensors, lambda tensor, name: hvd.allreduce_async_(tensor, name=name, op=hvd.Sum))

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Copy from rank 0, in place."""
        self._together("copy", tensors, lambda tensor, name: hvd.broadcast_async_(tensor, root_rank=0, name=name))

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's value."""
        return self._guarded(lambda: hvd.broadcast_object(value, root_rank=0))

    def allgather_object(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        return list(self._guarded(lambda: hvd.allgather_object(value)))

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._guarded(hvd.barrier)

    def shutdown(self) -> None:
        """Leave the ring, once."""
        if not self._closed:
            self._closed = True
            hvd.shutdown()

    def _together(self, verb: str, tensors: Sequence[torch.Tensor], start: Callable[[torch.Tensor, str], int]) -> None:
        """Start one operation for each tensor, then wait for all of them.

        Those of a GPU that Horovod was not built for are copied to pinned host memory and back.
        """

        def run() -> None:
            handles = []
            for index, tensor in enumerate(tensors):
                assert tensor.is_contiguous(), "Horovod works in place on contiguous memory only"
                own = tensor.detach()
                if tensor.is_cuda and not self._sums_on_gpu:
                    own = torch.empty_like(own, device="cpu", pin_memory=True).copy_(own)
                handles.append((start(own, f"{verb}.{index}.{tensor.numel()}"), own))
            for tensor, (handle, own) in zip(tensors, handles, strict=True):
                hvd.synchronize(handle)
                if own.device != tensor.device:
                    tensor.detach().copy_(own)

        self._guarded(run)

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except HorovodInternalError as error:
            reason = in_one_line(error)
            raise RingError(
                f"rank {self.rank}: another rank ended or does not answer ({reason}); look at its messages above, "
                "then start again: training goes on from the last checkpoint"
            ) from None
