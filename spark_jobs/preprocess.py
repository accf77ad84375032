"""Raw text to published shards: `spark-submit spark_jobs/preprocess.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from mapring.contract import FileEntry, Manifest, code_version, is_published, publish, read_manifest, utc_now
from mapring.errors import InputError, StageError
from mapring.plan import Plan, check_none_forgotten
from mapring.progress import say, seconds_text
from mapring.settings import output_settings
from spark_jobs.arguments import leave, run_main
from spark_jobs.counting.stage import Counted, Frames, count_tables, write_statistics
from spark_jobs.counting.sums import describe_sources
from spark_jobs.dedup.parts import describe_parts, remove_duplicate_parts
from spark_jobs.dedup.sketches import Sketcher, write_sketches
from spark_jobs.dedup.stage import mark_duplicates
from spark_jobs.filters.storing import describe_measures, write_measures
from spark_jobs.fitting import start_fitted_session
from spark_jobs.label_limit import LABEL_LIMIT, mark_beyond_limit
from spark_jobs.labels import Labels, refuse_unlearnable
from spark_jobs.ledger import drop_rows, write_ledger
from spark_jobs.overlap.contamination import mark_contaminated
from spark_jobs.overlap.splits import HELD_OUT, measure_overlap
from spark_jobs.packing.stage import describe_packing, pack_documents, write_sequences
from spark_jobs.quarantine import check_quarantine, count_by_rule
from spark_jobs.records import FirstPass, read_records
from spark_jobs.segments import plan_segments, tell_unsplittable, unsplittable
from spark_jobs.session import partitions, watch
from spark_jobs.shards import assign_positions, count_documents, lane_files, write_shards
from spark_jobs.side_by_side import SideBySide
from spark_jobs.splits import SPLITS, assign_splits, keep_groups_together
from spark_jobs.tables import WrittenFile
from spark_jobs.unchanged import check_unchanged
from spark_jobs.vocabulary.stage import publish_tokenizer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "preprocess"
_MOST_LABELS = 10_000
_OF_RECORDS = ("text", "features", "rule", "detail", "measured", "threshold", "language", "measures")


def preprocess(plan: Plan) -> None:
    """Run the stage unless its output is published; every count is checked before publishing.

    Raises:
        InputError: the corpus cannot be used as it is.
    """
    if is_published(plan.shards_directory):
        say(STAGE, f"skipped: shards {plan.shards} are already published")
        return
    if plan.awaits_pairs:
        raise StageError(
            f"{plan.config}: found no pairs at {plan.pairs_directory}; run `mapring pairs {plan.config}` first"
        )
    start = time.monotonic()
    spark = start_fitted_session(STAGE, plan.settings, plan.settings.preprocess.inputs, plan.preprocess_sources)
    manifest = _build(spark, plan)
    check_none_forgotten(plan, STAGE)
    check_unchanged((*plan.preprocess_sources, *plan.evaluation_sources))
    if not publish(plan.shards_directory, manifest):
        say(STAGE, "another attempt published these shards first; its manifest stands")
    counts = manifest.details["counts"]
    say(
        STAGE,
        f"published shards {plan.shards}: read {counts['read']:,}, kept {counts['kept']:,}, dropped "
        f"{sum(counts['dropped'].values()):,}, in {seconds_text(time.monotonic() - start)}",
    )


def _build(spark: SparkSession, plan: Plan) -> Manifest:
    settings, directory = plan.settings, plan.shards_directory
    rows = spark.sparkContext.accumulator(0)
    count = partitions(spark)
    # All texts are moved here, and those kept once more, to their shards. Equal ones meet, and no partition is much
    # larger than another, whatever the files were; that also spreads what one task had to read.
    records = _read(spark, plan, rows.add).repartition(count, "content_hash").persist()
    with watch(spark, STAGE, "read", rows):
        by_rule = count_by_rule(records)
    check_quarantine(records, by_rule, allowed_share=settings.preprocess.max_quarantined_share, stage=STAGE)
    records, parts = _clean(records, plan, count)
    if parts is not None or plan.evaluation_sources:
        by_rule = count_by_rule(records)
    if not by_rule.get(None):
        raise InputError(
            f"{plan.config}: preprocess.inputs: none of {sum(by_rule.values())} records can be kept "
            f"({_by_rule_text(by_rule)}); check the inputs, their format and their columns"
        )
    with watch(spark, STAGE, "duplicates", documents=by_rule[None]):
        kept = keep_groups_together(records.where(F.col("rule").isNull()), settings.preprocess.inputs)
        marked = mark_duplicates(kept, settings, run_dir=plan.run.root, partitions=count)
        marked = marked.drop(*_OF_RECORDS).persist()
        duplicates = count_by_rule(marked.select(F.col("duplicate_rule").alias("rule")))
        if not duplicates.get(None):
            raise InputError(
                f"{plan.config}: preprocess.duplicates.earlier: each of the {by_rule[None]:,} documents that can be "
                "kept is in earlier shards already, so there is nothing to publish; give new text"
            )
        placed = assign_splits(marked.where("duplicate_rule is null"), settings)
        labels = _labels(placed, duplicates[None], plan)
        placed, beyond, limited = _limited(placed, plan)
    unique = _with_texts(placed, records)
    kept_count = duplicates[None] - limited
    tokenizer, told = _publish_tokenizer(unique, plan)
    with SideBySide(spark) as steps:
        writing = steps.start(lambda: _write_data(placed, records, labels, plan))
        drops = drop_rows(records.where(F.col("rule").isNotNull()), marked.where("duplicate_rule is not null"), beyond)
        dropping = steps.start(lambda: _write_ledger(drops, sum(by_rule.values()) - kept_count, directory))
        measuring = steps.start(lambda: write_measures(records, by_rule, settings.preprocess.filters, directory))
        sketching = steps.start(lambda: _write_sketches(unique, kept_count, plan))
        comparing = steps.start(lambda: _compare_splits(unique, writing.result()[1], plan))
        counting = steps.start(lambda: _count(Frames(records, marked, unique), kept_count, labels, plan))
    data, sizes = writing.result()
    ledger, dropped = dropping.result()
    measures, sketches = measuring.result(), sketching.result()
    counted = counting.result()
    statistics = write_statistics(counted, data, ledger, directory)
    counts = _conserve(by_rule, duplicates, limited, data, dropped)
    layout = lane_files(data, settings.preprocess.lanes)
    return Manifest(
        kind="shards",
        fingerprint=plan.shards,
        created=utc_now(),
        code_version=code_version(),
        settings={"seed": settings.seed, **output_settings(settings.preprocess)},
        inputs=_inputs(plan),
        files=(*tokenizer, *(file.entry for file in (*data, *ledger, *measures, *sketches)), *statistics.entries),
        details={
            "counts": counts,
            "splits": {
                split: {"rows": sizes[split], "tokens": statistics.tokens.get(split, 0), "shards": layout[split]}
                for split in SPLITS
            },
            "sources": describe_sources(settings.preprocess.inputs, data),
            "lanes": settings.preprocess.lanes,
            "rows_per_row_group": settings.preprocess.rows_per_row_group,
            "overlap": comparing.result(),
            "duplicate_parts": parts,
            "max_length": settings.preprocess.max_length,
            "label_kind": settings.preprocess.labels,
            "labels": labels,
            "pairs": settings.preprocess.has_pairs,
            "measures": describe_measures(measures, settings.preprocess.filters),
            "words": counted.words._asdict() if counted.words else None,
            "sketches": settings.preprocess.duplicates.near.sketch_settings(settings.seed) if sketches else None,
            "packing": describe_packing(data, settings) if settings.preprocess.packing != "none" else None,
            "tokenizer": told,
        },
    )


def _read(spark: SparkSession, plan: Plan, on_rows: Callable[[int], None]) -> DataFrame:
    settings = plan.settings
    segments = plan_segments(settings.preprocess.inputs, plan.preprocess_sources, settings.spark.split_bytes)
    size = sum(source.bytes for source in plan.preprocess_sources)
    say(STAGE, f"reading {len(plan.preprocess_sources)} files, {size / 1e6:,.1f} MB, {len(segments)} segments")
    large = unsplittable(settings.preprocess.inputs, plan.preprocess_sources, settings.spark.split_bytes)
    tell_unsplittable(STAGE, large)
    first_pass = FirstPass(
        segments=segments,
        normalization=settings.preprocess.normalization,
        filters=settings.preprocess.filters,
        on_rows=on_rows,
        labels=Labels(settings.preprocess.labels, settings.preprocess.label_separator),
        left_out=plan.left_out_of_corpus,
    )
    return read_records(spark, first_pass, partitions(spark))


def _limited(placed: DataFrame, plan: Plan) -> tuple[DataFrame, DataFrame | None, int]:
    """The documents within the limit of their label; those beyond, None without a limit; and how many these are."""
    settings = plan.settings
    most = settings.preprocess.train_rows_per_label
    if most is None:
        return placed, None, 0
    marked = mark_beyond_limit(placed, most, settings.seed).persist()
    beyond = marked.where(F.col("rule").isNotNull())
    return marked.where(F.col("rule").isNull()).select(*placed.columns), beyond, beyond.count()


def _publish_tokenizer(unique: DataFrame, plan: Plan) -> tuple[list[FileEntry], dict[str, Any] | None]:
    source = plan.settings.preprocess.tokenizer
    if source is None:
        return [], None
    with watch(unique.sparkSession, STAGE, "tokenizer"):
        return publish_tokenizer(unique, source, plan.shards_directory, STAGE)


def _with_texts(documents: DataFrame, records: DataFrame) -> DataFrame:
    """Documents of which all but the text is known, and their texts, which are not moved."""
    texts = records.select("content_hash", "doc_id", "text")
    return texts.join(documents.hint("shuffle_hash"), ["content_hash", "doc_id"])


def _write_data(
    unique: DataFrame, records: DataFrame, labels: list[str], plan: Plan
) -> tuple[list[WrittenFile], dict[str, int]]:
    """Write the kept documents, or the sequences they are packed into; also return the rows of each split."""
    spark, settings, directory = unique.sparkSession, plan.settings, plan.shards_directory
    is_packed = settings.preprocess.packing != "none"
    with watch(spark, STAGE, "pack" if is_packed else "order"):
        rows = pack_documents(_with_texts(unique, records), settings, directory).persist() if is_packed else unique
        positioned, sizes = assign_positions(rows, settings)
    if not sizes["train"]:
        raise InputError(
            f"{plan.config}: preprocess.splits: the training split is empty; give more text or smaller shares"
        )
    total = sum(sizes.values())
    with watch(spark, STAGE, "write shards", documents=None if is_packed else total):
        if is_packed:
            data = write_sequences(positioned, settings, sizes=sizes, directory=directory)
        else:
            documents = _with_texts(positioned, records)
            data = write_shards(documents, settings, sizes=sizes, labels=labels, directory=directory)
    if is_packed:
        rows.unpersist()
    return data, sizes


def _write_ledger(drops: DataFrame, total: int, directory: str) -> tuple[list[WrittenFile], Counter[str]]:
    with watch(drops.sparkSession, STAGE, "write ledger"):
        return write_ledger(drops, total, directory)


def _compare_splits(unique: DataFrame, sizes: dict[str, int], plan: Plan) -> dict[str, Any] | None:
    if not any(sizes[split] for split in HELD_OUT):
        return None
    with watch(unique.sparkSession, STAGE, "compare splits"):
        return measure_overlap(unique, plan.settings.preprocess.splits)


def _count(frames: Frames, kept: int, labels: list[str], plan: Plan) -> Counted:
    with watch(frames.records.sparkSession, STAGE, "count"):
        return count_tables(frames, kept, labels, plan.settings.preprocess)


def _write_sketches(unique: DataFrame, total: int, plan: Plan) -> list[WrittenFile]:
    chosen = plan.settings.preprocess.duplicates
    if not chosen.keep_sketches:
        return []
    return write_sketches(unique, total, Sketcher(chosen.near, plan.settings.seed), plan.shards_directory)


def _clean(records: DataFrame, plan: Plan, count: int) -> tuple[DataFrame, dict[str, Any] | None]:
    """Drop contaminated records, and remove repeated parts from the others; also return what was removed."""
    spark, settings = records.sparkSession, plan.settings
    if plan.evaluation_sources:
        with watch(spark, STAGE, "decontaminate"):
            records = mark_contaminated(records, plan.evaluation_sources, settings, partitions=count)
    chosen = settings.preprocess.duplicates.parts
    if chosen.unit == "none":
        return records, None
    with watch(spark, STAGE, "duplicate parts"):
        records = remove_duplicate_parts(records, chosen, seed=settings.seed, partitions=count).persist()
        return records, describe_parts(records, chosen)


def _inputs(plan: Plan) -> tuple[dict[str, Any], ...]:
    """What the shards are made of for the manifest: files, evaluation files, and earlier shards compared with."""
    evaluation = [{"kind": "evaluation", **source.to_json()} for source in plan.evaluation_sources]
    earlier = [
        {"kind": "earlier_shards", "path": directory, "fingerprint": read_manifest(directory).fingerprint}
        for directory in plan.settings.preprocess.duplicates.earlier
    ]
    return (*(source.to_json() for source in plan.preprocess_sources), *evaluation, *earlier)


def _labels(unique: DataFrame, documents: int, plan: Plan) -> list[str]:
    """The label names, sorted; a label's id is its place in this list.

    Raises:
        InputError: they are not what a classifier can learn: ids, or one name for all.
    """
    settings = plan.settings.preprocess
    found = Labels(settings.labels, settings.label_separator).names(unique, _MOST_LABELS)
    if len(found) > _MOST_LABELS:
        raise InputError(
            f"{plan.config}: preprocess.inputs: found more than {_MOST_LABELS:,} different labels; "
            "label_column probably names a column of text or ids"
        )
    columns = sorted({source.label_column for source in settings.inputs if source.label_column is not None})
    if columns and settings.labels == "one" and plan.settings.train.task == "classify":
        where = f"{plan.config}: preprocess.inputs: label_column {', '.join(map(repr, columns))}"
        refuse_unlearnable(found, documents, where)
    return found


def _conserve(
    by_rule: dict[str | None, int],
    duplicates: dict[str | None, int],
    limited: int,
    data: list[WrittenFile],
    dropped: Counter[str],
) -> dict[str, Any]:
    """The counts for the manifest, after holding what was read against what was really written."""
    read = sum(by_rule.values())
    kept = count_documents(data)
    found = [*by_rule.items(), *duplicates.items(), (LABEL_LIMIT, limited)]
    expected: Counter[str] = +Counter({rule: count for rule, count in found if rule is not None})
    if read != kept + dropped.total() or kept != duplicates[None] - limited or expected != +dropped:
        raise StageError(
            f"{STAGE}: read {read} = kept {kept} + dropped {dropped.total()} does not hold, or the ledger differs "
            f"from the counts ({dict(dropped)} against {dict(expected)}); nothing was published. "
            "Did an input change while it was read? Run the stage again"
        )
    return {"read": read, "kept": kept, "dropped": dict(sorted((+dropped).items()))}


def _by_rule_text(by_rule: dict[str | None, int]) -> str:
    return ", ".join(f"{rule} {count:,}" for rule, count in by_rule.items()) or "they hold nothing"


if __name__ == "__main__":
    leave(run_main(preprocess, sys.argv[1:]))
