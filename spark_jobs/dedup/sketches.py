"""Sketches: what is stored of a document to compare later ones with it, without its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import read_manifest
from mapring.contract.schemas import SKETCH
from mapring.settings.dedup import NearDuplicates
from spark_jobs.dedup.classes import EARLIER
from spark_jobs.dedup.minhash import band_keys, signatures
from spark_jobs.dedup.shingles import mix, odd_numbers, shingle
from spark_jobs.tables import Built, WrittenFile, write_documents

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS_PER_FILE, _ROWS_PER_ROW_GROUP = 250_000, 8192

NODE = pa.field("node", pa.binary(), nullable=False)  # place in the seeded order and identity, see `node_bytes`
KEPT_IN = pa.field("kept_in", pa.string())  # fingerprint of the shards that hold it; null in this corpus
NODE_BYTES = 25
# In here numbers are bytes: Spark moves them, and would make an object of every one in a list.
NODES = pa.schema(
    [
        NODE,
        *(SKETCH.field(name) for name in ("doc_id", "content_hash")),
        pa.field("shingles", pa.binary(), nullable=False),  # 8 bytes each, sorted as unsigned numbers
        pa.field("bands", pa.binary(), nullable=False),  # 8 bytes each; none of a document without shingles
        KEPT_IN,
    ]
)


@dataclass(frozen=True)
class Sketcher:
    """Arrow tables of `doc_id`, `content_hash` and `text` to sketches; short documents have empty ones."""

    settings: NearDuplicates
    seed: int

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch of SKETCH rows, in order."""
        settings = self.settings
        found = shingle(batch.column("text"), unit=settings.unit, length=settings.shingle_length)
        keys = band_keys(signatures(found, settings.bands * settings.rows, self.seed), settings.bands)
        keys = keys[found.offsets[1:] > found.offsets[:-1]]  # a text without shingles has no bands
        counts = (found.offsets[1:] > found.offsets[:-1]) * settings.bands
        offsets = pa.array([0, *counts.cumsum().tolist()], pa.int32())
        columns = [
            batch.column("doc_id"),
            batch.column("content_hash"),
            found.to_arrow().cast(pa.list_(pa.int64())),
            pa.ListArray.from_arrays(offsets, pa.array(keys.view("int64").ravel())),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SKETCH)

    def nodes(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """NODES rows of the documents that have shingles, whose classes are in `class`: for mapInArrow."""
        for batch in batches:
            rows = as_nodes(self.sketch(batch), batch.column("class"), self.seed)
            yield rows.filter(pc.greater(pc.binary_length(rows.column("bands")), 0))

    def __call__(self, table: pa.Table) -> Built:
        """A file of the published sketches."""
        batches = [self.sketch(batch) for batch in table.to_batches(max_chunksize=_ROWS_PER_ROW_GROUP)]
        return Built(pa.Table.from_batches(batches, SKETCH), {})


def node_bytes(
    doc_ids: pa.StringArray, classes: pa.BinaryArray, seed: int, kept_in: str | None = None
) -> pa.BinaryArray:
    """Documents as what they are in a graph: 25 bytes that compare as the order of who stays.

    The class, a seeded random number of 8 bytes, and the 16 bytes of the document's id, so that a node tells its
    document. Earlier documents have the fingerprint of their shards, `kept_in`, in place of the number: all of them
    stay, and an id may be in several shards.
    """
    ids = np.frombuffer(bytes.fromhex("".join(doc_ids.to_pylist())), np.uint8).reshape(-1, 16)
    leading = ids[:, :8].copy().view(">u8").ravel().astype(np.uint64)
    if kept_in is None:
        random = mix(leading ^ odd_numbers(1, seed)).astype(">u8").view(np.uint8).reshape(-1, 8)
    else:
        random = np.tile(np.frombuffer(bytes.fromhex(kept_in), np.uint8), (len(ids), 1))
    kinds = np.frombuffer(b"".join(classes.to_pylist()), np.uint8).reshape(-1, 1)
    return binary_rows(np.concatenate([kinds, random, ids], axis=1))


def binary_rows(rows: npt.NDArray[np.uint8]) -> pa.BinaryArray:
    """Rows of bytes, shape (rows, width), as one binary value each."""
    width = pa.binary(rows.shape[1])
    fixed = pa.FixedSizeBinaryArray.from_buffers(width, len(rows), [None, pa.py_buffer(rows.tobytes())])
    return fixed.cast(pa.binary())


def document_ids(nodes: pa.BinaryArray) -> pa.StringArray:
    """The ids of the nodes' documents."""
    digits = "".join(node[-16:].hex() for node in nodes.to_pylist())
    return pa.array([digits[start : start + 32] for start in range(0, len(digits), 32)], pa.string())


def shards_of(nodes: pa.BinaryArray) -> pa.StringArray:
    """The fingerprints of the shards that hold the nodes' documents, null for those of this corpus."""
    found = [node[1:9].hex() if node[:1] == EARLIER else None for node in nodes.to_pylist()]
    return pa.array(found, pa.string())


def as_nodes(rows: pa.RecordBatch, classes: pa.BinaryArray, seed: int, kept_in: str | None = None) -> pa.RecordBatch:
    """SKETCH rows as NODES rows; `classes` has the class of each."""
    columns = [
        node_bytes(rows.column("doc_id"), classes, seed, kept_in),
        *(rows.column(name) for name in ("doc_id", "content_hash")),
        *(_as_bytes(rows.column(name)) for name in ("shingles", "bands")),
        pa.array([kept_in] * rows.num_rows, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NODES)


def _as_bytes(lists: pa.ListArray) -> pa.BinaryArray:
    """Lists of int64 as the bytes of their numbers."""
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    ends = np.cumsum(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
    offsets = np.concatenate([[0], ends * values.itemsize]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(values.tobytes())]
    return pa.BinaryArray.from_buffers(pa.binary(), len(lists), buffers)


def write_sketches(documents: DataFrame, total: int, sketcher: Sketcher, directory: str) -> list[WrittenFile]:
    """Write the sketches of kept documents below `sketches/`, ordered by document id."""
    files = max(1, -(-total // _ROWS_PER_FILE))
    texts = documents.select("doc_id", "content_hash", "text")
    return write_documents(
        texts,
        sketcher,
        files=files,
        directory=directory,
        folder="sketches",
        rows_per_row_group=_ROWS_PER_ROW_GROUP,
    )


def read_earlier(spark: SparkSession, directories: Sequence[str], seed: int) -> DataFrame | None:
    """The published sketches of earlier shards as NODES rows; None where there are no such shards."""
    from pyspark.sql.pandas.types import from_arrow_schema

    found = {}  # by fingerprint: shards that are named twice are there once
    for directory in directories:
        manifest = read_manifest(directory)
        found[manifest.fingerprint] = directory, manifest
    files = [
        (storage.join(directory, entry.path), fingerprint)
        for fingerprint, (directory, manifest) in found.items()
        for entry in manifest.files_below("sketches")
    ]
    if not files:
        return None
    read = partial(_read_files, files, seed=seed)
    return spark.range(0, len(files), 1, len(files)).mapInArrow(read, from_arrow_schema(NODES))


def _read_files(
    files: Sequence[tuple[str, str]], indices: Iterable[pa.RecordBatch], *, seed: int
) -> Iterator[pa.RecordBatch]:
    for index in (value for batch in indices for value in batch.column(0).to_pylist()):
        uri, fingerprint = files[index]
        with storage.open_read(uri) as handle:
            for rows in pq.ParquetFile(handle).iter_batches(_ROWS_PER_ROW_GROUP):
                yield as_nodes(rows.cast(SKETCH), pa.repeat(EARLIER, rows.num_rows), seed, fingerprint)
