"""Time the epochs of one reader and print what was found as one line of JSON; runs in every venv."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

TIMED = 3


def lengths(batch: Any) -> int:
    """Tokens of a batch whose rows are not padded."""
    return sum(map(len, batch))


def time_epochs(epoch: Callable[[int], Iterable[Any]], tokens_of: Callable[[Any], int] = lengths) -> None:
    """Read epoch 0 to count and to warm up, then `TIMED` ones against the clock.

    Printed are `rows` and `tokens` of an epoch, and of each timed one `first_rows`, the rows of its first batch, and
    the seconds from the call to the first batch and to the last one.

    Args:
        epoch: starts the epoch of a number and yields batches, each as a sequence of rows.
        tokens_of: counts the tokens of a batch; used in epoch 0 only.
    """
    rows = tokens = 0
    for batch in epoch(0):
        rows += len(batch)
        tokens += tokens_of(batch)
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
