"""Epochs of mapring's reader: `python mapring_reader.py SHARDS [KEPT_BYTES]`.

One rank, settings as `mapring train` has them; KEPT_BYTES of decoded row groups stay in memory, if not as shipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import training.reader
from benchmarks.peers.epochs import time_epochs
from mapring import ShardReader


def main() -> None:
    """Time the delivery of arrays of ids, 32 rows of about one length at a time."""
    if len(sys.argv) > 2:
        training.reader.KEPT_BYTES = int(sys.argv[2])
    reader = ShardReader(sys.argv[1], "train", global_batch=32)

    def epoch(number: int) -> Iterator[list[npt.NDArray[np.int32]]]:
        return (batch.input_ids for batch in reader.epoch(number, then=number + 1))

    time_epochs(epoch)


if __name__ == "__main__":
    main()
