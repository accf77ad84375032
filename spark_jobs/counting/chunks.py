"""Larger batches for counting: what is counted together is summed before Spark sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

CHUNK_BYTES = 8 << 20  # of text: about a million words, whose arrays take about 100 MB in a Python worker


def chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of about CHUNK_BYTES, or of one row where that is larger."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if waiting and size + batch.nbytes > CHUNK_BYTES:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
        if batch.num_rows:
            waiting.append(batch)
            size += batch.nbytes
    if waiting:
        yield pa.concat_batches(waiting)
