"""Published Parquet tables read for the report: batch by batch, and only in the columns needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest


def rows(directory: str, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """All rows of some files below a directory."""
    for batch in batches([storage.join(directory, path) for path in paths], None):
        yield from batch.to_pylist()


def rows_of_table(directory: str, manifest: Manifest, table: str) -> Iterator[dict[str, Any]]:
    """All rows of a table of `stats/`; none where it was not written."""
    prefix = f"stats/{table}-"
    return rows(directory, [entry.path for entry in manifest.files_below("stats") if entry.path.startswith(prefix)])


def batches(uris: Sequence[str], columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """The batches of some files, all columns where none are named."""
    for uri in uris:
        with storage.open_read(uri) as handle:
            yield from pq.ParquetFile(handle).iter_batches(columns=columns)
