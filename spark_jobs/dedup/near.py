"""Near-duplicates: sketch, propose, verify, and keep an independent set."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from mapring import storage
from mapring.progress import say
from mapring.settings.dedup import NearDuplicates
from spark_jobs.dedup.candidates import candidate_pairs, duplicate_pairs
from spark_jobs.dedup.classes import class_of_new
from spark_jobs.dedup.independent_set import drop_duplicates
from spark_jobs.dedup.sketches import NODES, Sketcher, document_ids, shards_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEAR_DUPLICATE = "near_duplicate"
DROPPED = pa.schema(
    [("doc_id", pa.string()), ("kept_doc_id", pa.string()), ("kept_in", pa.string()), ("similarity", pa.float64())]
)


def find_near_duplicates(
    documents: DataFrame,
    settings: NearDuplicates,
    *,
    seed: int,
    run_dir: str,
    partitions: int,
    earlier: DataFrame | None = None,
) -> DataFrame:
    """Near-duplicates among documents with different texts.

    Args:
        documents: `doc_id`, `content_hash`, `text` and `given_split`.
        settings: how they are compared.
        seed: of the permutations and of the order that says who stays.
        run_dir: below it a scratch directory is made, and removed.
        partitions: number of tasks that look for pairs.
        earlier: NODES rows of documents that stay in any case.

    Returns:
        `doc_id` (dropped), `kept_doc_id`, `kept_in` (null in this corpus) and `similarity`, persisted; one row for each
        dropped document.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    texts = documents.select("doc_id", "content_hash", "text", class_of_new(F.col("given_split")).alias("class"))
    sketches = texts.mapInArrow(Sketcher(settings, seed).nodes, from_arrow_schema(NODES))
    if earlier is not None:
        sketches = sketches.unionByName(earlier.where(F.octet_length("bands") > 0))
    sketches = sketches.persist()
    pairs = candidate_pairs(sketches, partitions).persist()
    pairs.count()  # Spark knows their size now: few ones are taken to the sketches, not all sketches to them
    edges = duplicate_pairs(pairs, sketches, measure=settings.measure, threshold=settings.threshold).persist()
    scratch = storage.join(run_dir, "scratch", uuid.uuid4().hex)
    try:
        twins = drop_duplicates(edges, scratch=scratch, on_round=_tell, most_local=settings.local_pairs)
        found = twins.select("high", "low", "similarity").mapInArrow(_with_names, from_arrow_schema(DROPPED)).persist()
        found.count()  # while the scratch directory still stands
    finally:
        storage.remove_tree(scratch)
        for frame in (edges, pairs, sketches):
            frame.unpersist()
    return found


def _with_names(twins: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in twins:
        names = [document_ids(batch.column(name)) for name in ("high", "low")]
        columns = [*names, shards_of(batch.column("low")), batch.column("similarity")]
        yield pa.RecordBatch.from_arrays(columns, schema=DROPPED)


def _tell(number: int, edges: int) -> None:
    say("preprocess", f"near-duplicates: round {number}, {edges:,} pairs to decide")
