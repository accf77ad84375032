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
    """The batches of some files, all columns where none are named; what a file has not, as of before it, is null."""
    for uri in uris:
        with storage.open_read(uri) as handle:
            file = pq.ParquetFile(handle)
            there = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there):
                yield batch if columns == there else _with_nulls(batch, columns or ())


def _with_nulls(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    nulls = pa.nulls(batch.num_rows)
    found = {name: batch.column(name) if name in batch.schema.names else nulls for name in columns}
    return pa.RecordBatch.from_pydict(found)
