"""Epochs of mosaicml-streaming: `python streaming_reader.py VARIANT SHARDS COPY`.

The rows are copied to MDS once, uncompressed, each row's ids as bytes, which it decodes faster than its ndarray. They
lie on a local disk and are shuffled with its default algorithm; batches are lists of arrays, so that no time goes
into padding.

    alone       the dataset is iterated as it is
    workers     through its StreamingDataLoader, a worker process per core, kept between epochs
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

from benchmarks.peers.epochs import time_epochs

BATCH = 32
Arrays = list[npt.NDArray[np.int32]]


def copy_rows(shards: Path, target: Path) -> None:
    """Write the rows of the training split to MDS, where that is not done yet."""
    if (target / "index.json").exists():  # written last
        return
    with MDSWriter(out=str(target), columns={"input_ids": "bytes"}, exist_ok=True) as writer:
        for path in sorted(Path(shards, "data").glob("train-*")):
            for ids in pq.read_table(path, columns=["input_ids"])["input_ids"]:
                writer.write({"input_ids": ids.values.to_numpy().tobytes()})


def array_of(row: dict[str, Any]) -> npt.NDArray[np.int32]:
    """The ids of one row."""
    return np.frombuffer(row["input_ids"], np.int32)


def alone(dataset: StreamingDataset) -> Iterator[Arrays]:
    """Batches cut from the rows as they come."""
    batch: Arrays = []
    for row in dataset:
        batch.append(array_of(row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def collate(rows: list[dict[str, Any]]) -> tuple[Arrays]:
    """A batch as the loader wants it: the rows are counted in its first part."""
    return ([array_of(row) for row in rows],)


def main() -> None:
    """Time what the command line asks for."""
    variant, shards, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    copy_rows(shards, target)
    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(target), shuffle=True, batch_size=BATCH)
    if variant == "alone":
        time_epochs(lambda _number: alone(dataset))
        return
    cores = len(os.sched_getaffinity(0))
    loader = StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=cores, prefetch_factor=8, persistent_workers=True, collate_fn=collate
    )
    time_epochs(lambda _number: (batch for (batch,) in loader))


if __name__ == "__main__":
    main()
