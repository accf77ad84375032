"""Rows of published shards to measure with: training rows to calibrate on, validation rows to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest

NO_LABEL = -1


class Rows(NamedTuple):
    """Token ids of each row, and its label's number, (N,), NO_LABEL where it has none."""

    input_ids: Sequence[Sequence[int]]
    label_ids: npt.NDArray[np.int64]


def read_rows(directory: str, manifest: Manifest, split: str, count: int) -> Rows:
    """The first `count` rows of a split that have tokens, all where there are fewer.

    Shards are shuffled over the whole corpus, so the first rows are a sample, and a function of the shards alone.
    """
    ids: list[list[int]] = []
    labels: list[int] = []
    for lane in manifest.details["splits"][split]["shards"]:
        for part in lane:
            if len(ids) >= count:
                break
            with storage.open_read(storage.join(directory, part["path"])) as handle:
                file = pq.ParquetFile(handle)
                for batch in file.iter_batches(columns=["input_ids", "label_id"]):
                    batch = batch.filter(pc.greater(pc.list_value_length(batch.column("input_ids")), 0))
                    ids += batch.column("input_ids").to_pylist()
                    labels += pc.fill_null(batch.column("label_id"), NO_LABEL).to_pylist()
                    if len(ids) >= count:
                        break
    return Rows(ids[:count], np.array(labels[:count], np.int64))
