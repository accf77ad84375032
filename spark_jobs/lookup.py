"""Where one document stands in published shards: scans of single Parquet columns, without Spark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest


class Place(NamedTuple):
    """A row of a shard file: of a document, or of a packed sequence that holds a piece of it."""

    split: str
    path: str
    lane: int
    position: int  # within the lane
    row: dict[str, Any]  # without the token ids


def find_rows(directory: str, manifest: Manifest, folder: str, ids: set[str]) -> list[dict[str, Any]]:
    """Rows of the tables below a folder whose `doc_id`, or `source_id` where there is one, is one of these."""
    found: list[dict[str, Any]] = []
    for entry in manifest.files_below(folder):
        with storage.open_read(storage.join(directory, entry.path)) as handle:
            wanted = pc.field("doc_id").isin(list(ids))
            if "source_id" in pq.ParquetFile(handle).schema_arrow.names:
                wanted = wanted | pc.field("source_id").isin(list(ids))
            found.extend(pq.read_table(handle, filters=wanted).to_pylist())
    return found


def find_places(directory: str, manifest: Manifest, ids: set[str]) -> list[Place]:
    """Rows of the shards that hold a document, in the order of splits, lanes and positions."""
    return [
        Place(split, part["path"], lane, before + row, content)
        for split, details in manifest.details["splits"].items()
        for lane, parts in enumerate(details["shards"])
        for part, before in _with_offsets(parts)
        for row, content in _rows_of(storage.join(directory, part["path"]), pa.array(sorted(ids), pa.string()))
    ]


def _with_offsets(parts: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    before = 0
    for part in parts:
        yield part, before
        before += part["rows"]


def _rows_of(uri: str, ids: pa.StringArray) -> Iterator[tuple[int, dict[str, Any]]]:
    with storage.open_read(uri) as handle:
        file = pq.ParquetFile(handle)
        names = [name for name in ("doc_id", "source_id", "doc_ids") if name in file.schema_arrow.names]
        numbers = sorted({row for name in names for row in _matches(file.read([name]).column(name), ids)})
        if not numbers:
            return
        rest = [name for name in file.schema_arrow.names if name != "input_ids"]
        yield from zip(numbers, file.read(rest).take(numbers).to_pylist(), strict=True)


def _matches(column: pa.ChunkedArray, ids: pa.StringArray) -> list[int]:
    """Rows whose value, or one of whose values, is among the ids."""
    plain = column.combine_chunks()
    rows: list[int]
    if pa.types.is_list(plain.type):
        owners, values = pc.list_parent_indices(plain), pc.list_flatten(plain)
        rows = owners.filter(pc.is_in(values, ids)).to_pylist()
    else:
        rows = pc.indices_nonzero(pc.is_in(plain, ids)).to_pylist()
    return rows
