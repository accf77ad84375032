"""Before scoring from a bank: its templates read, embedded by the model in Spark's tasks, and published."""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from mapring import contract, storage
from mapring.contract import FileEntry, Manifest
from mapring.errors import InputError, StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.base import output_settings
from mapring.settings.normalization import Normalization
from mapring.settings.retrieval import Retrieval
from spark_jobs.backends.published import link_to
from spark_jobs.backends.rows import read_rows
from spark_jobs.backends.stage import shards_directory_of
from spark_jobs.predictor import Encoded
from spark_jobs.records import FirstPass, read_records
from spark_jobs.retrieval.bank import TEMPLATE, order_of
from spark_jobs.retrieval.products import Vectors
from spark_jobs.retrieval.scope import (
    SCOPE_ROWS,
    read_similarities,
    similarities_to_bytes,
    threshold_that_keeps,
    to_others,
)
from spark_jobs.retrieval.top_k import Integers, nearest
from spark_jobs.segments import plan_segments
from spark_jobs.session import partitions, watch
from spark_jobs.tables import (
    WRITTEN,
    WrittenFile,
    parquet_bytes,
    spread_to_files,
    tables_of_files,
    written_row,
    written_rows,
)
from spark_jobs.task_device import task_threads
from spark_jobs.task_predictor import load_task_predictor
from spark_jobs.unchanged import check_unchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "score"
BLOCK_ROWS = 32_768  # templates of one file of vectors: 50 MB at 384 dimensions
_GOLDEN = 32
_EXAMPLES = 3


def published_bank(spark: SparkSession, plan: Plan) -> str | None:
    """Directory of the bank that a plan's texts are answered from, published now if it was not; None without one.

    Raises:
        InputError: a template cannot be read or has no text, an id stands twice, or there are no templates.
        StageError: the model fails on a template, or an index is wanted that finds too little.
    """
    fingerprint, retrieval = plan.bank, plan.scoring.retrieval
    if fingerprint is None or retrieval is None:
        return None
    directory = plan.run.bank(fingerprint)
    if contract.is_published(directory):
        say(STAGE, f"bank {fingerprint} is already published")
        _check_scope(plan, retrieval, contract.read_manifest(directory))
        return directory
    manifest = _make(spark, plan, retrieval, fingerprint, directory)
    check_unchanged(plan.bank_sources)
    contract.publish(directory, manifest)
    _check_scope(plan, retrieval, manifest)
    counts, index = manifest.details["counts"], manifest.details["index"]
    told = f"bank {fingerprint}: {counts['templates']:,} templates, {counts['vectors']:,} different"
    if index is not None:
        told += f"; an index finds {index['recall']:.2%} of the nearest, looking into {index['probes']:,} cells"
    say(STAGE, told)
    return directory


def _check_scope(plan: Plan, retrieval: Retrieval, manifest: Manifest) -> None:
    """Tell the threshold that keeps a share of validation texts, or that there were none to choose it by."""
    keep, path = retrieval.keep_in_scope, manifest.details.get("scope")
    if keep is None:
        return
    if path is None:
        raise StageError(
            f"{plan.config}: score.retrieval.keep_in_scope: found {keep}, but no validation texts when the bank was "
            "made; set preprocess.splits.validation above 0 and train again, or set abstain_below in its place"
        )
    similarities = read_similarities(storage.join(plan.run.bank(manifest.fingerprint), path))
    threshold = threshold_that_keeps(keep, similarities)
    say(STAGE, f"similarity below {threshold:.4f} is out of scope: {keep:.1%} of {len(similarities):,} texts are not")


def _make(spark: SparkSession, plan: Plan, retrieval: Retrieval, fingerprint: str, directory: str) -> Manifest:
    """Write all files of a bank; nothing reads them yet."""
    counted = spark.sparkContext.accumulator(0)
    templates = _read(spark, plan, retrieval, counted.add).persist()
    with watch(spark, STAGE, "read templates", counted):
        count = _checked_count(plan, templates)
    embedded = spark.sparkContext.accumulator(0)
    with watch(spark, STAGE, f"embed {count:,} templates", embedded):
        files = _embed(plan, templates, count, directory, embedded.add)
    templates.unpersist()
    tables = [file for file in files if file.group.startswith("templates")]
    vectors = [file for file in files if file.group.startswith("vectors")]
    different = sum(file.entry.rows or 0 for file in vectors)
    details: dict[str, Any] = {
        "counts": {"templates": count, "vectors": different},
        "templates": [file.entry.path for file in tables],
        "vectors": [file.entry.path for file in vectors],
        "index": None,
    }
    entries = [file.entry for file in files]
    if different > retrieval.library_above:
        say(STAGE, f"bank: {different:,} different templates are more than {retrieval.library_above:,}: an index")
        entry, details["index"] = _indexed(spark, directory, details, retrieval.min_recall)
        entries.append(entry)
    if plan.score_mode == "answer":
        details["scope"] = None
        entries += _scope(spark, plan, directory, details)
    golden = _golden(directory, details)
    entries.append(golden)
    return Manifest(
        kind="bank",
        fingerprint=fingerprint,
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings=output_settings(retrieval),
        inputs=(
            link_to("model", plan.scoring_model_directory, plan.scoring_model),
            *(file.to_json() for file in plan.bank_sources),
        ),
        files=tuple(entries),
        details={**details, "golden": golden.path},
    )


def _read(spark: SparkSession, plan: Plan, retrieval: Retrieval, on_rows: Callable[[int], None]) -> DataFrame:
    """Columns id, text, label, rule, source, path, record, detail of every template."""
    text = contract.read_manifest(plan.scoring_model_directory).details["text"]  # as the model's own texts
    segments = plan_segments(retrieval.bank, plan.bank_sources, plan.settings.spark.split_bytes)
    first_pass = FirstPass(
        segments=segments, normalization=Normalization.model_validate(text), filters=None, on_rows=on_rows
    )
    records = read_records(spark, first_pass, partitions(spark))
    name = F.coalesce("source_id", "doc_id").alias("id")
    return records.select(name, "text", "label", "rule", "source", "path", "record", "detail")


def _checked_count(plan: Plan, templates: DataFrame) -> int:
    """How many templates there are; every one must be sound, since a missing one would be missed in silence."""
    key = f"{plan.config}: score.retrieval.bank"
    bad = templates.where(F.col("rule").isNotNull()).orderBy("source", "path", "record").limit(_EXAMPLES).collect()
    if bad:
        told = "; ".join(f"{row['source']}/{row['path']}:{row['record']} {row['detail'] or row['rule']}" for row in bad)
        raise InputError(f"{key}: found templates that cannot be used, the first: {told}; repair or remove them")
    twice = templates.groupBy("id").count().where("count > 1").orderBy("id").limit(_EXAMPLES).collect()
    if twice:
        told = ", ".join(repr(row["id"]) for row in twice)
        raise InputError(f"{key}: found the ids {told} more than once, expected one template for each id; rename them")
    count = templates.count()
    if not count:
        raise InputError(f"{key}: the files hold no templates; check the inputs")
    return count


def _embed(
    plan: Plan, templates: DataFrame, count: int, directory: str, on_rows: Callable[[int], None]
) -> list[WrittenFile]:
    """Blocks of templates by a hash of their texts, so that equal texts meet and what is in a block is fixed."""
    from pyspark.sql.pandas.types import from_arrow_schema

    blocks = -(-count // BLOCK_ROWS)
    write = partial(
        _write_blocks,
        model_directory=plan.scoring_model_directory,
        batch_tokens=plan.scoring.batch_tokens,
        directory=directory,
        on_rows=on_rows,
    )
    block = F.pmod(F.xxhash64("text"), F.lit(blocks))
    placed = spread_to_files(templates.select("id", "text", "label"), block, blocks, "id")
    return written_rows(placed.mapInArrow(write, from_arrow_schema(WRITTEN)))


def _write_blocks(
    batches: Iterable[pa.RecordBatch],
    *,
    model_directory: str,
    batch_tokens: int,
    directory: str,
    on_rows: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    predictor = load_task_predictor(model_directory, batch_tokens, vectors=True)
    for block, table in tables_of_files(batches):
        keys = [tuple(ids) for ids in predictor.encode(table.column("text").to_pylist()).ids]
        different = list(dict.fromkeys(keys))  # in the order of the first ids
        places = {key: place for place, key in enumerate(different)}
        outcome, vectors = predictor.outputs_and_vectors(Encoded(different))
        for place, reason in outcome.failures.items():
            name = table.column("id")[keys.index(different[place])].as_py()
            raise StageError(f"score.retrieval.bank: the model fails on the template {name!r} ({reason}); remove it")
        numbers = pa.array([places[key] for key in keys], pa.int32())
        built = table.append_column("vector", numbers).select(TEMPLATE.names).cast(TEMPLATE)
        built = built.sort_by([("vector", "ascending"), ("id", "ascending")])
        for stem, content, rows in (
            (f"templates-{block:05d}", parquet_bytes(built, len(built)), len(built)),
            (f"vectors-{block:05d}", _array_bytes(vectors), len(places)),
        ):
            name = contract.content_name(stem, content, ".parquet" if stem.startswith("templates") else ".npy")
            yield written_row(stem, contract.write_file(directory, name, content, rows), {})
        on_rows(len(built))


def _array_bytes(vectors: Vectors) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(vectors, np.float32))
    return sink.getvalue()


def _load_array(uri: str) -> Vectors:
    found: Vectors = np.load(io.BytesIO(storage.read_bytes(uri)))
    return found


def _load_table(uri: str) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(uri)))


def _indexed(
    spark: SparkSession, directory: str, details: Mapping[str, Any], min_recall: float
) -> tuple[FileEntry, dict[str, Any]]:
    """Build and write an index in one task; it needs about twice the memory that all vectors have bytes."""
    build = partial(_write_index, directory=directory, details=details, min_recall=min_recall)
    [found] = spark.sparkContext.parallelize([None], 1).mapPartitions(build).collect()
    return found


def _write_index(
    _: Iterable[None], *, directory: str, details: Mapping[str, Any], min_recall: float
) -> Iterator[tuple[FileEntry, dict[str, Any]]]:
    from spark_jobs.retrieval.index import build_index

    blocks, order = _vectors_and_order(directory, details)
    index = build_index(blocks, order, min_recall=min_recall, threads=task_threads())
    name = contract.content_name("index", index.content, ".faiss")
    entry = contract.write_file(directory, name, index.content)
    recall = min(min(found.values()) for found in index.recalls.values())
    details = {
        "path": name,
        "cells": index.cells,
        "probes": index.probes,
        "recall": recall,
        "recalls": index.recalls,
        "faiss": importlib.metadata.version("faiss-cpu"),
    }
    yield entry, details


def _scope(spark: SparkSession, plan: Plan, directory: str, details: dict[str, Any]) -> list[FileEntry]:
    """Have a task tell how similar the model's validation texts are to the bank; nothing where there are none."""
    shards = shards_directory_of(plan)
    if not contract.is_published(shards) or not contract.read_manifest(shards).details["splits"]["validation"]["rows"]:
        return []
    write = partial(
        _write_scope,
        model_directory=plan.scoring_model_directory,
        batch_tokens=plan.scoring.batch_tokens,
        shards_directory=shards,
        directory=directory,
        details=details,
    )
    [entry] = spark.sparkContext.parallelize([None], 1).mapPartitions(write).collect()
    details["scope"] = entry.path
    return [entry]


def _write_scope(
    _: Iterable[None],
    *,
    model_directory: str,
    batch_tokens: int,
    shards_directory: str,
    directory: str,
    details: Mapping[str, Any],
) -> Iterator[FileEntry]:
    predictor = load_task_predictor(model_directory, batch_tokens, vectors=True)
    rows = read_rows(shards_directory, contract.read_manifest(shards_directory), "validation", SCOPE_ROWS)
    outcome, vectors = predictor.outputs_and_vectors(Encoded(rows.input_ids))
    sound = [row for row in range(len(vectors)) if row not in outcome.failures]
    if not sound:
        raise StageError(f"{shards_directory}: the model fails on every validation text ({outcome.failures[0]})")
    blocks, order = _vectors_and_order(directory, details)
    found = nearest(vectors[sound], blocks, 2, order, threads=task_threads()).scores
    content = similarities_to_bytes(to_others(found))
    yield contract.write_file(directory, contract.content_name("scope", content, ".parquet"), content, len(sound))


def _vectors_and_order(directory: str, details: Mapping[str, Any]) -> tuple[list[Vectors], Integers]:
    """All blocks of vectors, and their order by the first id of each."""
    blocks = [_load_array(storage.join(directory, path)) for path in details["vectors"]]
    tables = [_load_table(storage.join(directory, path)) for path in details["templates"]]
    return blocks, order_of(pa.chunked_array([_first_ids(table) for table in tables]).combine_chunks())


def _first_ids(table: pa.Table) -> pa.StringArray:
    """The first id of each vector; the rows are sorted by vector, then by id."""
    _, rows = np.unique(table.column("vector").to_numpy(), return_index=True)
    return table.column("id").take(pa.array(rows)).combine_chunks()


def _golden(directory: str, details: Mapping[str, Any]) -> FileEntry:
    """Templates of the first block that a worker embeds again before its first row."""
    table = _load_table(storage.join(directory, details["templates"][0]))
    vectors = _load_array(storage.join(directory, details["vectors"][0]))
    rows: Sequence[int] = np.unique(np.linspace(0, len(table) - 1, _GOLDEN).astype(np.int64)).tolist()
    chosen = table.take(pa.array(rows, pa.int64()))
    embeddings = vectors[chosen.column("vector").to_numpy()]
    golden = pa.table(
        {
            "id": chosen.column("id"),
            "text": chosen.column("text"),
            "embedding": pa.array(list(embeddings), pa.list_(pa.float32())),
        }
    )
    content = parquet_bytes(golden, len(golden))
    return contract.write_file(directory, contract.content_name("golden", content, ".parquet"), content, len(golden))
