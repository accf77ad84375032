"""What the trainer asks of a ring, whoever implements it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from mapring.errors import MapringError, StageError


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


def first_rank_only(ring: Ring, work: Callable[[], Any]) -> Any:
    """Run `work` on rank 0 and return its JSON result everywhere; its MapringError is raised everywhere.

    Without this, an error of rank 0 would leave the others waiting for it.
    """
    answer: dict[str, Any] = {}
    if ring.rank == 0:
        try:
            answer = {"value": work()}
        except MapringError as error:
            answer = {"error": str(error)}
    answer = ring.broadcast_object(answer)
    if "error" in answer:
        raise AgreedError(answer["error"])
    return answer["value"]


def check_same(ring: Ring, what: str, tensors: Sequence[torch.Tensor]) -> None:
    """Compare a digest of these tensors over the ranks.

    Raises:
        AgreedError: they differ, which no correct ring lets happen.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data if tensor.numel() else b"")
    found = ring.allgather_object(digest.hexdigest())
    if len(set(found)) > 1:
        odd = next(rank for rank, value in enumerate(found) if value != found[0])
        raise AgreedError(
            f"{what} differ between rank 0 and rank {odd}; check that all hosts run the same versions and CPU "
            "types, then start again from the last checkpoint"
        )
