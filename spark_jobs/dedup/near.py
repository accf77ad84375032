"""Near-duplicates: sketch, propose, verify, and keep an independent set."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring import storage
from mapring.progress import say
from mapring.settings.dedup import NearDuplicates
from spark_jobs.dedup.candidates import candidate_pairs, duplicate_pairs
from spark_jobs.dedup.classes import class_of_new
from spark_jobs.dedup.independent_set import drop_duplicates
from spark_jobs.dedup.sketches import NODES, Sketcher

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEAR_DUPLICATE = "near_duplicate"


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
        `doc_id` (dropped), `kept_doc_id` and `similarity`, persisted; one row for each dropped document.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    texts = documents.select("doc_id", "content_hash", "text", class_of_new(F.col("given_split")).alias("class"))
    sketches = texts.mapInArrow(Sketcher(settings, seed).nodes, from_arrow_schema(NODES))
    if earlier is not None:
        sketches = sketches.unionByName(earlier.where(F.size("bands") > 0))
    sketches = sketches.persist()
    pairs = candidate_pairs(sketches, partitions)
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
        for frame in (edges, sketches):
            frame.unpersist()
    return found


def _tell(number: int, edges: int) -> None:
    say("preprocess", f"near-duplicates: round {number}, {edges:,} pairs to decide")
