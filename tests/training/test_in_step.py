"""Ranks whose shares of an evaluation take different times wait for each other without counting as lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
import torch

from tests.training.thread_ring import ThreadRing, run_ranks
from training.ring import in_step, interface


class _TimedRing(ThreadRing):
    """Notes how long each sum took, waiting for the other ranks included."""

    def __init__(self, ring: ThreadRing) -> None:
        super().__init__(ring.rank, ring.size, ring._shared)
        self.waits: list[float] = []

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        begin = time.monotonic()
        super().allreduce_sum(tensors)
        self.waits.append(time.monotonic() - begin)


def _slowly(items: int, seconds: float) -> Iterator[int]:
    for item in range(items):
        time.sleep(seconds)
        yield item


def test_a_slow_rank_is_heard_of_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "_STILL_BUSY_SECONDS", 0.2)

    def work(ring: ThreadRing) -> tuple[list[int], int, float]:
        timed = _TimedRing(ring)
        found = list(in_step(timed, _slowly((0, 3, 30)[ring.rank], 0.1)))
        with torch.inference_mode():
            last = list(in_step(timed, range(2)))
        assert last == [0, 1]
        return found, len(timed.waits), max(timed.waits)

    items, calls, waits = zip(*run_ranks(3, work), strict=True)
    assert items == ([], list(range(3)), list(range(30)))
    assert len(set(calls)) == 1 and calls[0] >= 8  # of 3 s of work
    assert max(waits) < 1.5  # without a word in between the first rank waits for 3 s


def test_a_rank_alone_tells_nobody() -> None:
    def work(ring: ThreadRing) -> int:
        timed = _TimedRing(ring)
        assert list(in_step(timed, "abc")) == ["a", "b", "c"]
        return len(timed.waits)

    assert run_ranks(1, work) == [0]
