"""Near-duplicates: sketch, propose, verify, and keep an independent set."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mapring import storage
from mapring.progress import say
from mapring.settings.dedup import NearDuplicates
from spark_jobs.dedup.candidates import candidate_pairs, duplicate_pairs
from spark_jobs.dedup.independent_set import drop_duplicates
from spark_jobs.dedup.minhash import band_keys, signatures
from spark_jobs.dedup.shingles import shingle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEAR_DUPLICATE = "near_duplicate"

SKETCH = pa.schema(
    [
        pa.field("node", pa.binary(), nullable=False),  # 16 bytes: identity and place in the seeded order
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("shingles", pa.list_(pa.int64()), nullable=False),  # sorted, each once
        pa.field("bands", pa.list_(pa.int64()), nullable=False),
    ]
)


@dataclass(frozen=True)
class Sketcher:
    """Arrow batches of `doc_id` and `text` to sketches; documents shorter than a shingle have none."""

    settings: NearDuplicates
    seed: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Sketch every batch."""
        for batch in batches:
            yield self.sketch(batch)

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch of SKETCH rows."""
        settings = self.settings
        found = shingle(batch.column("text"), unit=settings.unit, length=settings.shingle_length)
        keys = band_keys(signatures(found, settings.bands * settings.rows, self.seed), settings.bands)
        offsets = pa.array(range(0, keys.size + 1, settings.bands), pa.int32())
        columns = {
            "node": pa.array([node_of(doc_id, self.seed) for doc_id in batch.column("doc_id").to_pylist()]),
            "doc_id": batch.column("doc_id"),
            "shingles": found.to_arrow().cast(pa.list_(pa.int64())),
            "bands": pa.ListArray.from_arrays(offsets, pa.array(keys.view("int64").ravel())),
        }
        rows = pa.RecordBatch.from_arrays([columns[field.name] for field in SKETCH], schema=SKETCH)
        return rows.filter(pa.array(found.offsets[1:] > found.offsets[:-1]))


def node_of(doc_id: str, seed: int) -> bytes:
    """A document's place in the seeded order: 16 bytes of BLAKE2b, compared as unsigned bytes."""
    return hashlib.blake2b(doc_id.encode(), digest_size=16, key=f"near:{seed}".encode()).digest()


def find_near_duplicates(documents: DataFrame, settings: NearDuplicates, *, seed: int, run_dir: str) -> DataFrame:
    """Near-duplicates among documents with different texts.

    Args:
        documents: `doc_id` and `text`, persisted.
        settings: how they are compared.
        seed: of the permutations and of the order that says who stays.
        run_dir: below it a scratch directory is made, and removed.

    Returns:
        `doc_id` (dropped), `kept_doc_id` and `similarity`, persisted; one row for each dropped document.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    sketches = documents.select("doc_id", "text").mapInArrow(Sketcher(settings, seed), from_arrow_schema(SKETCH))
    sketches = sketches.persist()
    pairs = candidate_pairs(sketches)
    edges = duplicate_pairs(pairs, sketches, measure=settings.measure, threshold=settings.threshold).persist()
    scratch = storage.join(run_dir, "scratch", uuid.uuid4().hex)
    try:
        twins = drop_duplicates(edges, scratch=scratch, on_round=_tell, most_local=settings.local_pairs)
        names = sketches.select("node", "doc_id")
        dropped = twins.join(names.withColumnsRenamed({"node": "high"}), "high").join(
            names.withColumnsRenamed({"node": "low", "doc_id": "kept_doc_id"}), "low"
        )
        found = dropped.select("doc_id", "kept_doc_id", "similarity").persist()
        found.count()  # while the scratch directory still stands
    finally:
        storage.remove_tree(scratch)
        edges.unpersist()
        sketches.unpersist()
    return found


def _tell(number: int, edges: int) -> None:
    say("preprocess", f"near-duplicates: round {number}, {edges:,} pairs to decide")
