"""Epochs of petastorm's make_batch_reader: `python petastorm_reader.py VARIANT SHARDS`.

It reads our shards as they are, the column of ids only, row groups in random order, a thread per core. As its batches
cannot hold lists of different lengths, a transform has to give them one:

    loader      padded to the longest, through its BatchedDataLoader with a shuffling buffer
    buffer      as bytes, shuffled and cut here, which is more than twice as fast as the loader

Its process pool is left out: it starts anew every epoch, which takes half of the epoch, and did not always end.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from petastorm import TransformSpec, make_batch_reader
from petastorm.pytorch import BatchedDataLoader

from benchmarks.peers.epochs import time_epochs

BATCH = 32
WINDOW = 4096
LONGEST = 512  # preprocess.max_length of the shards


def open_reader(files: list[str], seed: int, transform: TransformSpec) -> Any:
    """A reader of one epoch."""
    return make_batch_reader(
        files,
        schema_fields=["input_ids"],
        reader_pool_type="thread",
        workers_count=len(os.sched_getaffinity(0)),
        shuffle_row_groups=True,
        seed=seed,
        transform_spec=transform,
        convert_early_to_numpy=True,  # in the workers
    )


def padded(rows: pd.DataFrame) -> pd.DataFrame:
    """Every list with zeros behind it."""
    lists = rows["input_ids"].to_numpy()
    ids = np.zeros((len(lists), LONGEST), np.int32)
    ids[np.arange(LONGEST) < np.fromiter(map(len, lists), np.int64, len(lists))[:, None]] = np.concatenate(lists)
    return pd.DataFrame({"input_ids": list(ids)})


def as_bytes(rows: pd.DataFrame) -> pd.DataFrame:
    """Every list as its bytes."""
    return pd.DataFrame({"input_ids": [ids.tobytes() for ids in rows["input_ids"].to_numpy()]})


def loader_epoch(files: list[str], seed: int) -> Iterator[Any]:
    """Batches of its loader: tensors of shape (32, LONGEST)."""
    transform = TransformSpec(padded, edit_fields=[("input_ids", np.int32, (LONGEST,), False)])
    with (
        open_reader(files, seed, transform) as reader,
        BatchedDataLoader(reader, batch_size=BATCH, shuffling_queue_capacity=WINDOW) as loader,
    ):
        for batch in loader:
            yield batch["input_ids"]


def buffer_epoch(files: list[str], seed: int) -> Iterator[list[npt.NDArray[np.int32]]]:
    """Row groups collected to windows, each shuffled and cut into batches."""
    transform = TransformSpec(as_bytes, edit_fields=[("input_ids", np.bytes_, (), False)])
    chance, parts = np.random.default_rng(seed), list[Any]()
    with open_reader(files, seed, transform) as reader:
        for group in reader:
            parts.append(group.input_ids)
            if sum(map(len, parts)) >= WINDOW:
                yield from cut(np.concatenate(parts), chance)
                parts.clear()
    if parts:
        yield from cut(np.concatenate(parts), chance)


def cut(rows: npt.NDArray[np.object_], chance: np.random.Generator) -> Iterator[list[npt.NDArray[np.int32]]]:
    """A window as batches of arrays."""
    shuffled = rows[chance.permutation(len(rows))]
    for start in range(0, len(rows), BATCH):
        yield [np.frombuffer(content, np.int32) for content in shuffled[start : start + BATCH]]


def main() -> None:
    """Time what the command line asks for."""
    warnings.filterwarnings("ignore")
    variant, shards = sys.argv[1:3]
    files = [path.resolve().as_uri() for path in sorted(Path(shards, "data").glob("train-*"))]
    if variant == "loader":
        time_epochs(lambda number: loader_epoch(files, number), lambda batch: int((batch != 0).sum()))
    else:
        time_epochs(lambda number: buffer_epoch(files, number))


if __name__ == "__main__":
    main()
