"""A ring of threads in one process: the collectives by the book, to compare world sizes without a launcher."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

TIMEOUT_SECONDS = 60


class _Shared:
    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.values: list[Any] = [None] * size


class ThreadRing:
    """One rank; `run_ranks` makes them."""

    controller = "threads"
    elastic = False

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        self.rank = self.local_rank = rank
        self.size = self.local_size = size
        self._shared = shared

    def members_changed(self) -> bool:
        return False

    def allgather_object(self, value: Any) -> list[Any]:
        self._shared.values[self.rank] = value
        self._shared.barrier.wait(TIMEOUT_SECONDS)
        found = list(self._shared.values)
        self._shared.barrier.wait(TIMEOUT_SECONDS)
        return found

    def broadcast_object(self, value: Any) -> Any:
        return self.allgather_object(value)[0]

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        everyone = self.allgather_object([tensor.detach().clone() for tensor in tensors])
        for index, tensor in enumerate(tensors):
            tensor.detach().copy_(torch.stack([own[index] for own in everyone]).sum(0))

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        first = self.broadcast_object([tensor.detach().clone() for tensor in tensors])
        for tensor, source in zip(tensors, first, strict=True):
            tensor.detach().copy_(source)

    def barrier(self) -> None:
        self._shared.barrier.wait(TIMEOUT_SECONDS)

    def shutdown(self) -> None:
        self._shared.barrier.wait(TIMEOUT_SECONDS)


def note_sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on the list holds how many numbers each tensor had that any rank sent to be summed."""
    sent: list[int] = []
    plain = ThreadRing.allreduce_sum

    def noting(ring: ThreadRing, tensors: Sequence[torch.Tensor]) -> None:
        sent.extend(tensor.numel() for tensor in tensors)
        plain(ring, tensors)

    monkeypatch.setattr(ThreadRing, "allreduce_sum", noting)
    return sent


def run_ranks(size: int, work: Callable[[ThreadRing], Any]) -> list[Any]:
    """Run `work` on every rank; its results in rank order. The first error of a rank is raised here."""
    shared = _Shared(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRing(rank, size, shared))
        except BaseException as error:
            errors.append(error)
            shared.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return results
