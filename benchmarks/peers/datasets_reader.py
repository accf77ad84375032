"""Epochs of Hugging Face datasets: `python datasets_reader.py VARIANT SHARDS`.

It converts the column of ids to its own uncompressed Arrow files once and maps them into memory. Batches come as
Arrow tables and are split into arrays here, which is three times as fast as its numpy or torch format.

    indexed     a new permutation of all rows every epoch, rows gathered batch by batch
    streamed    files in random order through a shuffling buffer of 4,096 rows
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.peers.epochs import time_epochs

BATCH = 32
WINDOW = 4096
SEED = 17
FILES = 16  # as many as the shards have


def arrays(table: pa.Table) -> list[npt.NDArray[np.int32]]:
    """The ids of each row, without a copy."""
    lists = pa.concat_arrays(table["input_ids"].chunks)
    values = lists.values.to_numpy()
    return [values[begin:end] for begin, end in pairwise(lists.offsets.to_pylist())]


def main() -> None:
    """Time what the command line asks for."""
    variant, shards = sys.argv[1:3]
    datasets.disable_progress_bars()
    files = sorted(map(str, Path(shards, "data").glob("train-*")))
    rows = datasets.load_dataset("parquet", data_files=files, split="train", columns=["input_ids"])
    if variant == "indexed":
        time_epochs(lambda number: map(arrays, rows.shuffle(seed=number).with_format("arrow").iter(BATCH)))
        return
    stream = rows.to_iterable_dataset(num_shards=FILES).shuffle(seed=SEED, buffer_size=WINDOW).with_format("arrow")

    def epoch(number: int) -> Iterator[list[npt.NDArray[np.int32]]]:
        stream.set_epoch(number)
        return map(arrays, stream.iter(BATCH))

    time_epochs(epoch)


if __name__ == "__main__":
    main()
