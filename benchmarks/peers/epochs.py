"""Time the epochs of one reader and print what was found as one line of JSON; runs in every venv."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

TIMED = 5


class Sized(Protocol):
    """The ids of one row: an array."""

    def __len__(self) -> int: ...


def time_epochs(epoch: Callable[[int], Iterable[Sequence[Sized]]]) -> None:
    """Read epoch 0 to count and to warm up, then `TIMED` ones against the clock.

    Printed are `rows` and `tokens` of an epoch, and of each timed one `first_rows`, the rows of its first batch, and
    the seconds from the call to the first batch and to the last one.

    Args:
        epoch: starts the epoch of a number and yields batches, each as the arrays of its rows' ids.
    """
    rows = tokens = 0
    for batch in epoch(0):
        rows += len(batch)
        tokens += sum(map(len, batch))
    timed = []
    for number in range(1, TIMED + 1):
        began = time.perf_counter()
        batches = iter(epoch(number))
        first_rows = delivered = len(next(batches))
        first = time.perf_counter()
        for batch in batches:
            delivered += len(batch)
        last = time.perf_counter()
        assert delivered == rows, f"epoch {number}: {delivered} rows, expected {rows}"
        timed.append({"first_rows": first_rows, "to_first": first - began, "to_last": last - began})
    sys.stdout.write(json.dumps({"rows": rows, "tokens": tokens, "epochs": timed}) + "\n")
