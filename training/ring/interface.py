"""What the trainer asks of a ring, whoever implements it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar

import torch

from mapring.errors import MapringError, StageError

_STILL_BUSY: dict[str, Any] = {"still_busy": True}
_STILL_BUSY_SECONDS = 3.0  # below the shortest time that a ring may be set to wait, 10 s
_MOST_WAITS = 600

_Item = TypeVar("_Item")


class RingError(StageError):
    """The ring broke: another rank ended, or does not answer."""


class RegroupError(StageError):
    """The ring ends between two steps, because ranks wait to join it or are to leave; a checkpoint stands."""


class AgreedError(StageError):
    """A failure that every rank found alike, so that one of them tells it."""


class Ring(Protocol):
    """Collective operations over the ranks of one training; every rank calls them in the same order.

    All of them raise RingError when another rank is gone or stays silent for the stall time. Tensors may be on the host
    or on the GPU that is this rank's own.
    """

    controller: str
    rank: int
    size: int
    local_rank: int
    local_size: int
    elastic: bool  # the launcher forms a new ring where this one ends

    def members_changed(self) -> bool:
        """Whether this rank was told that others wait to join, or that some are to leave."""

    def allreduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, in place; the sums are bit-identical on all ranks."""

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by that of rank 0, in place."""

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's value, which is anything that JSON can hold."""

    def allgather_object(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in rank order."""

    def barrier(self) -> None:
        """Wait until every rank has come here."""

    def shutdown(self) -> None:
        """Leave the ring; nothing collective may follow. Ranks may end at different times after this."""


def first_rank_only(ring: Ring, work: Callable[[], Any], *, may_take_long: bool = False) -> Any:
    """Run `work` on rank 0 and return its JSON result everywhere; its MapringError is raised everywhere.

    Without this, an error of rank 0 would leave the others waiting for it. What may take as long as a silent ring is
    allowed to, such as gigabytes on their way to a store, runs in a thread, and the others hear that it still does: for
    half an hour, for a store may also hang.
    """
    if ring.rank == 0:
        answer = _answer_in_a_thread(ring, work) if may_take_long and ring.size > 1 else _answer(work)
        answer = ring.broadcast_object(answer)
    else:
        answer = _STILL_BUSY
        while answer == _STILL_BUSY:
            answer = ring.broadcast_object({})
    if "error" in answer:
        raise AgreedError(answer["error"])
    return answer["value"]


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": work()}
    except MapringError as error:
        return {"error": str(error)}


def _answer_in_a_thread(ring: Ring, work: Callable[[], Any]) -> dict[str, Any]:
    with ThreadPoolExecutor(1, "first-rank") as pool:
        future = pool.submit(_answer, work)
        for _ in range(_MOST_WAITS):
            if wait([future], _STILL_BUSY_SECONDS).done:
                break
            ring.broadcast_object(_STILL_BUSY)
        return future.result()


def in_step(ring: Ring, items: Iterable[_Item]) -> Iterator[_Item]:
    """Each rank's own items; some ranks may have more, or take longer over them. Behind the last one all are done.

    A rank that waits counts as lost after the stall time. So every few seconds the ranks that still work tell the
    others, between two items. Every rank has to ask for all of its items, and nothing else of the ring in between.
    """
    told = time.monotonic()
    for item in items:
        yield item
        if ring.size > 1 and time.monotonic() - told >= _STILL_BUSY_SECONDS:
            _ranks_done(ring, is_done=False)
            told = time.monotonic()
    while ring.size > 1 and _ranks_done(ring, is_done=True) < ring.size:
        pass  # each call waits for all ranks, so those that work are asked no more often than they tell


def _ranks_done(ring: Ring, *, is_done: bool) -> int:
    with torch.inference_mode(mode=False):  # items may be asked for inside of it, whose tensors take no sums in place
        count = torch.tensor([int(is_done)])
        ring.allreduce_sum([count])
    return int(count)


def check_same(ring: Ring, what: str, tensors: Sequence[torch.Tensor]) -> None:
    """Compare a digest of these tensors over the ranks.

    Raises:
        AgreedError: they differ, which no correct ring lets happen.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    found = ring.allgather_object(digest.hexdigest())
    if len(set(found)) > 1:
        odd = next(rank for rank, value in enumerate(found) if value != found[0])
        raise AgreedError(
            f"{what} differ between rank 0 and rank {odd}; check that all hosts run the same versions and CPU "
            "types, then start again from the last checkpoint"
        )
