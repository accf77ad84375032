"""Sketches: what is stored of a document to compare later ones with it, without its text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from mapring import storage
from mapring.contract import read_manifest
from mapring.contract.schemas import SKETCH
from mapring.settings.dedup import NearDuplicates
from spark_jobs.dedup.classes import EARLIER
from spark_jobs.dedup.minhash import band_keys, signatures
from spark_jobs.dedup.shingles import shingle
from spark_jobs.tables import Built, WrittenFile, write_groups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS_PER_FILE, _ROWS_PER_ROW_GROUP = 250_000, 8192

NODE = pa.field("node", pa.binary(), nullable=False)  # class and 16 bytes: identity and place in the seeded order
KEPT_IN = pa.field("kept_in", pa.string())  # fingerprint of the shards that hold it; null in this corpus
NODES = pa.schema([NODE, *SKETCH, KEPT_IN])


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
            rows = as_nodes(self.sketch(batch), batch.column("class").to_pylist(), self.seed)
            yield rows.filter(pc.greater(pc.list_value_length(rows.column("bands")), 0))

    def __call__(self, table: pa.Table) -> Built:
        """A file of the published sketches."""
        batches = [self.sketch(batch) for batch in table.to_batches(max_chunksize=_ROWS_PER_ROW_GROUP)]
        return Built(pa.Table.from_batches(batches, SKETCH), {})


def node_of(doc_id: str, kind: bytes, seed: int) -> bytes:
    """A document's place in the order of classes, and in the seeded one within: compared as unsigned bytes."""
    return kind + hashlib.blake2b(doc_id.encode(), digest_size=16, key=f"near:{seed}".encode()).digest()


def as_nodes(rows: pa.RecordBatch, kinds: Sequence[bytes], seed: int, kept_in: str | None = None) -> pa.RecordBatch:
    """SKETCH rows as NODES rows; `kinds` has the class of each."""
    ids = zip(rows.column("doc_id").to_pylist(), kinds, strict=True)
    nodes = pa.array([node_of(doc_id, kind, seed) for doc_id, kind in ids], pa.binary())
    origin = pa.array([kept_in] * rows.num_rows, pa.string())
    return pa.RecordBatch.from_arrays([nodes, *rows.columns, origin], schema=NODES)


def write_sketches(documents: DataFrame, total: int, sketcher: Sketcher, directory: str) -> list[WrittenFile]:
    """Write the sketches of kept documents below `sketches/`, ordered by document id."""
    files = max(1, -(-total // _ROWS_PER_FILE))
    bucket = F.pmod(F.conv(F.substring("doc_id", 1, 8), 16, 10).cast("long"), F.lit(files))
    ordered = (
        documents.select(F.format_string("sketches-%05d", bucket).alias("file_group"), "doc_id", "content_hash", "text")
        .repartition("file_group")
        .sortWithinPartitions("file_group", "doc_id")
    )
    return write_groups(
        ordered, sketcher, directory=directory, folder="sketches", rows_per_row_group=_ROWS_PER_ROW_GROUP
    )


def read_earlier(spark: SparkSession, directories: Sequence[str], seed: int) -> DataFrame | None:
    """The published sketches of earlier shards as NODES rows; None where there are no such shards."""
    from pyspark.sql.pandas.types import from_arrow_schema

    files = [
        (storage.join(directory, entry.path), manifest.fingerprint)
        for directory in directories
        for manifest in [read_manifest(directory)]
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
                yield as_nodes(rows.cast(SKETCH), [EARLIER] * rows.num_rows, seed, fingerprint)
