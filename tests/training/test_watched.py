"""A ring that is watched: who does not come is named, and nobody waits for ever."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import torch

from tests.training.thread_ring import ThreadRing, run_ranks
from training.ring import RingError, roll_call, watched
from training.ring.roll_call import RollCall
from training.ring.watched import WatchedRing

OTHER = f"rank 1 on host {socket.gethostname()}"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watched, "_MORE_SECONDS", 0.0)
    monkeypatch.setattr(watched, "_LINGER_SECONDS", 0.0)


def watched_rings(patience: float, left: list[int]) -> list[WatchedRing]:
    """Two of them, in the hands of one thread."""
    return run_ranks(2, lambda ring: WatchedRing(ring, patience, leave=left.append))


def test_a_watched_ring_does_what_the_ring_does() -> None:
    def work(inner: ThreadRing) -> list[object]:
        ring = WatchedRing(inner, 60)
        tensor, copied = torch.full((2,), float(ring.rank)), torch.full((1,), float(ring.rank))
        ring.allreduce_sum([tensor])
        ring.broadcast_tensors([copied])
        ring.barrier()
        found = [tensor.tolist(), copied.tolist(), ring.allgather_object(ring.rank), ring.broadcast_object(ring.rank)]
        ring.shutdown()
        ring.shutdown()
        return found

    assert run_ranks(3, work) == [[[3.0, 3.0], [0.0], [0, 1, 2], 0]] * 3


def test_a_roll_call_tells_ranks_that_are_behind_gone_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = run_ranks(2, RollCall)
    assert mine.missing() == other.missing() == []
    mine.begun = 3
    assert mine.missing() == [f"{OTHER} is busy elsewhere{roll_call._IF_SLOW}"] and other.missing() == []
    other.close()
    assert mine.missing() == [f"{OTHER} has ended"]
    monkeypatch.setattr(roll_call, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("", 0)) as silent:
        mine._places[1][1] = silent.getsockname()[1]
        assert mine.missing() == [f"{OTHER} does not answer"]
    mine.close()


def test_a_ring_that_breaks_names_the_rank_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = watched_rings(60, [])
    other._calls.close()

    def break_down() -> None:
        raise RingError("rank 0: another rank ended")

    monkeypatch.setattr(mine._ring, "barrier", break_down)
    with pytest.raises(RingError, match=f"^{OTHER} has ended: rank 0: another rank ended$"):
        mine.barrier()


def test_a_wait_without_end_is_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    left: list[int] = []
    mine, _ = watched_rings(0.2, left)
    enough = threading.Event()
    monkeypatch.setattr(mine, "_leave", lambda code: (left.append(code), enough.set()))
    monkeypatch.setattr(mine._ring, "barrier", lambda: enough.wait(30))
    mine.barrier()
    assert left == [1]
    assert (
        f"error: {OTHER} is busy elsewhere{roll_call._IF_SLOW}: rank 0 has waited 0 s for the ring"
        in capsys.readouterr().err
    )


def test_many_short_waits_are_none() -> None:
    left: list[int] = []
    mine, _ = watched_rings(0.2, left)
    for _ in range(50):
        mine._watched(lambda: time.sleep(0.01))
    assert left == []
