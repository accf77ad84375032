"""A ring that does not wait for ever, and names the rank that it waited for."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from training.ring.interface import Ring, RingError
from training.ring.roll_call import RollCall

_LOOK_SECONDS = 0.5
_LINGER_SECONDS = 1.0  # after its roll call a rank still answers those of the others, or it would be named as well
_MORE_SECONDS = 2.0  # the ring's own limit comes first, where it has one

_Result = TypeVar("_Result")


class WatchedRing:
    """Another ring's operations, watched.

    Horovod notices a rank that takes no part only while that rank's own threads still run; with MPI a stopped process
    is waited for without end. So a thread here ends this process once an operation has taken too long.

    Args:
        ring: the ring that does the work; the watch begins at once.
        patience: time in s after which an operation of the ring has failed.
        leave: ends the process with an exit code; replaced in tests.
    """

    def __init__(self, ring: Ring, patience: float, leave: Callable[[int], Any] = os._exit) -> None:
        self._ring, self._patience, self._leave = ring, patience + _MORE_SECONDS, leave
        self.controller = ring.controller
        self.rank, self.size = ring.rank, ring.size
        self.local_rank, self.local_size = ring.local_rank, ring.local_size
        self.elastic = ring.elastic
        self._calls = RollCall(ring)
        self._is_waiting = self._closed = False
        threading.Thread(target=self._watch, name="ring-watch", daemon=True).start()

    def members_changed(self) -> bool:
        """Whether this rank was told that others wait to join, or that some are to leave."""
        return self._ring.members_changed()

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum over the ranks, in place."""
        self._watched(lambda: self._ring.allreduce_sum(tensors))

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Copy from rank 0, in place."""
        self._watched(lambda: self._ring.broadcast_tensors(tensors))

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's value."""
        return self._watched(lambda: self._ring.broadcast_object(value))

    def allgather_object(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        return self._watched(lambda: self._ring.allgather_object(value))

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._watched(self._ring.barrier)

    def shutdown(self) -> None:
        """Leave the ring, once."""
        if not self._closed:
            try:
                self._watched(self._ring.shutdown)
            finally:
                self._closed = True
                self._calls.close()

    def _watched(self, work: Callable[[], _Result]) -> _Result:
        self._calls.begun += 1
        self._is_waiting = True
        try:
            return work()
        except RingError as error:
            missing = self._calls.missing()
            time.sleep(_LINGER_SECONDS)
            raise RingError(f"{', '.join(missing)}: {error}" if missing else str(error)) from None
        finally:
            self._is_waiting = False

    def _watch(self) -> None:
        """Counts looks, not the clock's time: what was suspended as a whole has waited for nobody meanwhile."""
        operation, waited = 0, 0.0
        while not self._closed:
            time.sleep(_LOOK_SECONDS)
            if not self._is_waiting or self._calls.begun != operation:
                operation, waited = self._calls.begun, 0.0
                continue
            waited += _LOOK_SECONDS
            if waited < self._patience:
                continue
            missing = ", ".join(self._calls.missing()) or "all ranks answer, yet the ring stands still"
            time.sleep(_LINGER_SECONDS)
            if self._is_waiting and self._calls.begun == operation:  # else it went on meanwhile
                sys.stderr.write(
                    f"error: {missing}: rank {self.rank} has waited {self._patience:.0f} s for the ring; look at the "
                    "messages above, then start again: training goes on from the last checkpoint\n"
                )
                sys.stderr.flush()
                self._leave(1)
                return
