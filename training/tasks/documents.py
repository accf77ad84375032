"""Documents packed into one sequence that do not see each other: their attention, and positions that begin anew."""

from __future__ import annotations

import numpy as np
import torch

from training.batches import Integers
from training.rows import Ids

_PADDING = -1  # sees only padding; a position that saw nothing would make softmax divide 0 by 0


def document_numbers(starts: list[Ids], lengths: Integers, width: int) -> Integers:
    """The number within its sequence of the document that each cell belongs to, (B, T); -1 for padding."""
    numbers = np.full((len(starts), width), _PADDING, np.int64)
    for line, (begins, length) in enumerate(zip(starts, lengths.tolist(), strict=True)):
        marks = np.zeros(length, np.int64)
        marks[begins[begins < length]] = 1  # a document without tokens may stand last, or alone
        numbers[line, :length] = np.cumsum(marks) - 1
    return numbers


def restarting_positions(numbers: Integers, first_position: int = 0) -> Integers:
    """The position of each cell within its document, (B, T), counted from `first_position`."""
    places = np.broadcast_to(np.arange(numbers.shape[1]), numbers.shape)
    begins = np.zeros_like(numbers, bool)
    begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
    start: Integers = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return places - start + first_position


def attention_between(numbers: Integers, *, causal: bool) -> torch.Tensor:
    """Which cells see which: bool (B, 1, T, T), true within a document, and only backwards where it is causal."""
    seen = numbers[:, :, None] == numbers[:, None, :]
    if causal:
        seen &= np.tri(numbers.shape[1], dtype=bool)
    return torch.from_numpy(seen[:, None])
