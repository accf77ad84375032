"""Which piece of which document is in which sequence: integer arithmetic, no IO.

Documents longer than a sequence are cut into pieces, and pieces are placed best-fit decreasing: the longest
first, each where it leaves the least room (Johnson 1973: at most 11/9 of the optimal number of bins, and one).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Pieces in order of their sequences; all arrays have the shape (pieces,).

    `document` is an index into the lengths, `offset` the place of the piece in its document, `length` its size
    in tokens, `sequence` the number of its sequence, from 0 without gaps.
    """

    document: Integers
    offset: Integers
    length: Integers
    sequence: Integers

    def starts(self) -> Integers:
        """Where each piece begins in its sequence."""
        ends = np.cumsum(self.length)
        first = np.searchsorted(self.sequence, self.sequence)  # the first piece of the same sequence
        starts: Integers = ends - self.length - (ends - self.length)[first]
        return starts


def pack(lengths: Integers, capacity: int) -> Pieces:
    """Place every token of documents of these lengths exactly once in sequences of at most `capacity` tokens.

    A document without tokens is one piece without tokens. Pieces of one sequence stand in the order of
    their documents.
    """
    document, offset, length = _cut(lengths, capacity)
    sequence = best_fit_decreasing(length, capacity)
    order = np.lexsort((document, sequence))
    return Pieces(document=document[order], offset=offset[order], length=length[order], sequence=sequence[order])


def _cut(lengths: Integers, capacity: int) -> tuple[Integers, Integers, Integers]:
    count = np.maximum(1, -(-lengths // capacity))
    document = np.repeat(np.arange(len(lengths), dtype=np.int64), count)
    number = np.arange(len(document), dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    offset = number * capacity
    return document, offset, np.minimum(capacity, lengths[document] - offset)


def best_fit_decreasing(lengths: Integers, capacity: int) -> Integers:
    """The bin of each item, in O(n log n); bins are numbered from 0 in the order in which they are opened.

    Among bins with equally little room the one that got it last is taken, among equal items the first.
    """
    bins = np.zeros(len(lengths), np.int64)  # items of length 0 stay in the first bin
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # the keys of `by_room` that have bins, sorted; at most `capacity` of them
    opened = 0
    order = np.argsort(-lengths, kind="stable")
    for item, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        if length == 0:
            break
        place = bisect_left(rooms, length)
        if place == len(rooms):
            room, target = capacity, opened
            opened += 1
        else:
            room = rooms[place]
            target = by_room[room].pop()
            if not by_room[room]:
                del rooms[place]
        bins[item] = target
        left = room - length
        if left:
            same = by_room.setdefault(left, [])
            if not same:
                insort(rooms, left)
            same.append(target)
    return bins
