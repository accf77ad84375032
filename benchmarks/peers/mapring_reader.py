"""One training epoch after another of mapring's reader: `python mapring_reader.py SHARDS`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.peers.epochs import time_epochs
from mapring import ShardReader


def main() -> None:
    """Read by one rank, with the defaults of `mapring train`."""
    reader = ShardReader(sys.argv[1], "train", global_batch=32)

    def epoch(number: int) -> Iterator[Sequence[npt.NDArray[np.int32]]]:
        return (batch.input_ids for batch in reader.epoch(number))

    time_epochs(epoch)


if __name__ == "__main__":
    main()
