"""Inputs to files of scored rows, read once and held against what was read; the driver's part of it, top to bottom."""

from __future__ import annotations

import datetime
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from mapring.care.forgotten import FORGOTTEN
from mapring.contract import read_manifest
from mapring.errors import InputError, StageError
from mapring.lineage import SourceFile
from mapring.plan import Plan
from mapring.scores.empty import remember_empty
from mapring.scores.work import wanted_of
from mapring.settings.normalization import Normalization
from mapring.watch.stored import CountKeeper
from mapring.watch.watched import counting_of
from spark_jobs.backends.stage import chosen_backend
from spark_jobs.carried import SCORED_RECORD, carry, check_unread, unread_counts
from spark_jobs.found_groups import GROUPED_RECORD, count_of_rows, groups_finder, rows_of_groups
from spark_jobs.prediction import MODEL_FAILED
from spark_jobs.quarantine import check_quarantine
from spark_jobs.records import FirstPass, read_records
from spark_jobs.retrieval.stage import published_bank
from spark_jobs.scores_commit import Scoring
from spark_jobs.scores_layout import Place, file_count, lay_out
from spark_jobs.scoring import ScoreBuilder, write_scores
from spark_jobs.segments import plan_segments, tell_unsplittable, unsplittable
from spark_jobs.session import partitions, watch
from spark_jobs.unchanged import check_unchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "score"


def score_inputs(spark: SparkSession, plan: Plan, files: Sequence[SourceFile], *, is_first: bool) -> Scoring:
    """Read, score and write the rows of input files; nothing of it is visible yet.

    Args:
        spark: a session fitted to the files.
        plan: whose inputs these are.
        files: the inputs to score.
        is_first: whether there is no table yet, which may not begin without a row.

    Raises:
        InputError: there are no records, or too many that cannot be read.
        StageError: the model fails on too many texts, or an input changed while it was read.
    """
    settings = plan.scoring
    run_id, start = uuid.uuid4().hex, time.monotonic()
    if not files:
        return Scoring(run_id=run_id, inputs=0, files=[], seconds=0)
    counted = spark.sparkContext.accumulator(0)
    records = _read(spark, plan, files, counted.add).persist()
    with watch(spark, STAGE, "read", counted):
        counted_rows = F.count(F.lit(1)).alias("count")
        made_rows = (F.sum(count_of_rows()) if settings.groups else F.count(F.lit(1))).alias("rows")
        counts = records.groupBy("source", "path", "rule").agg(counted_rows, made_rows, *unread_counts()).collect()
    by_rule, by_input = Counter[str | None](), Counter[tuple[str, str]]()
    for row in counts:
        by_rule[row["rule"]] += row["count"]
        if row["rule"] == FORGOTTEN:
            continue
        by_input[row["source"], row["path"]] += row["rows"]
    read = by_input.total()
    forgotten = by_rule.pop(FORGOTTEN, 0)
    remaining = records.where(F.col("rule").isNull() | (F.col("rule") != FORGOTTEN)) if forgotten else records
    if settings.groups:
        remaining = rows_of_groups(remaining)
    if not read and is_first and not plan.is_part:
        raise InputError(f"{plan.config}: score.inputs: the files hold no records; check the inputs")
    check_quarantine(records, by_rule, allowed_share=settings.max_quarantined_share, stage=STAGE)
    unread = check_unread(counts, allowed_share=settings.max_quarantined_share, stage=STAGE)
    backend = chosen_backend(spark, plan)
    bank = published_bank(spark, plan)
    scored = spark.sparkContext.accumulator(0)
    build = ScoreBuilder(
        model_directory=plan.scoring_model_directory,
        batch_tokens=settings.batch_tokens,
        answers=settings,
        model_fingerprint=plan.scoring_model,
        run_id=run_id,
        scored_at=datetime.datetime.now(datetime.UTC),
        on_rows=scored.add,
        backend_directory=backend,
        bank_directory=bank,
        ranker_directory=plan.ranker_directory if settings.ranker else None,
        decoder_directory=None if plan.decoder is None else plan.decoder_directory,
        decoder_fingerprint=plan.decoder,
    )
    rows_per_file = min(settings.rows_per_file, max(1, -(-read // partitions(spark))))
    places = lay_out(by_input, rows_per_file)
    start = time.monotonic()
    with watch(spark, STAGE, f"score {read:,} rows", scored):
        written = write_scores(
            remaining,
            build,
            inputs=_placed(plan, files, places),
            files=file_count(places),
            rows_per_file=rows_per_file,
            directory=plan.run.scores,
            keep_counts=CountKeeper(uri=plan.run.scores, counting=counting_of(plan.settings, [plan.scoring_model])),
        )
    records.unpersist()
    seconds = time.monotonic() - start
    scoring = Scoring(
        run_id=run_id,
        inputs=len(files),
        files=written,
        seconds=seconds,
        unread=unread,
        forgotten=forgotten,
        backend=backend,
    )
    _conserve(read, scoring)
    _check_failed(scoring, settings.max_failed_share)
    _check_drafts(scoring, settings.max_failed_share)
    check_unchanged(files)
    _remember_empty(plan, files, by_input)
    return scoring


def _placed(plan: Plan, files: Sequence[SourceFile], places: Mapping[tuple[str, str], Place]) -> pa.Table:
    """What `write_scores` is told of each input that has rows."""
    rows = [
        {
            "source": file.source,
            "path": file.relative,
            "first": place.first,
            "files": place.files,
            "input_identity": file.identity,
            "settings_fingerprint": plan.score_settings[file.source],
        }
        for file in files
        if (place := places.get((file.source, file.relative))) is not None
    ]
    return pa.Table.from_pylist(rows)


def _read(spark: SparkSession, plan: Plan, files: Sequence[SourceFile], on_rows: Callable[[int], None]) -> DataFrame:
    inputs = tuple(source.model_copy(update={"label_column": None}) for source in plan.scoring.inputs)
    segments = plan_segments(inputs, files, plan.settings.spark.split_bytes)
    text = read_manifest(plan.scoring_model_directory).details["text"]  # as the model's own texts were normalized
    normalization = Normalization.model_validate(text)
    first_pass = FirstPass(
        segments=segments,
        normalization=normalization,
        filters=None,
        on_rows=on_rows,
        left_out=plan.left_out_of_scores,
    )
    count = partitions(spark)
    if plan.scoring.groups:
        find = groups_finder(plan.scoring.groups, normalization)
        records = read_records(spark, first_pass, count, lambda batch: find(carry(batch)), GROUPED_RECORD)
    else:
        records = read_records(spark, first_pass, count, carry, SCORED_RECORD)
    large = unsplittable(inputs, files, plan.settings.spark.split_bytes)
    tell_unsplittable(STAGE, large)
    return records.repartition(count, "doc_id") if large else records


def _conserve(read: int, scoring: Scoring) -> None:
    if scoring.rows == read and scoring.scored + sum(scoring.errors.values()) == read:
        return
    raise StageError(
        f"{STAGE}: read {read} rows but wrote {scoring.rows} ({scoring.scored} scored, errors {scoring.errors}); "
        "nothing was committed. Did an input change while it was read? Run the stage again"
    )


def _check_failed(scoring: Scoring, allowed_share: float) -> None:
    """Refuse a scoring in which the model failed on more than a share of what it was given."""
    failed = scoring.errors.get(MODEL_FAILED, 0)
    given = failed + scoring.scored
    if failed > allowed_share * given:
        raise StageError(
            f"{STAGE}: the model failed on {failed:,} of {given:,} texts ({failed / given:.1%}), allowed are "
            f"{allowed_share:.1%} (score.max_failed_share); nothing was committed. Check the model with "
            "`mapring verify`, or allow a larger share and look into the column detail"
        )


def _check_drafts(scoring: Scoring, allowed_share: float) -> None:
    """Refuse a scoring in which more than a share of the drafts could not be written."""
    failed, asked = scoring.draft_failures, scoring.drafted + scoring.draft_failures
    if failed > allowed_share * asked:
        problem = next(filter(None, (file.statistics["draft_problem"] for file in scoring.files)))
        raise StageError(
            f"{STAGE}: the decoder failed on {failed:,} of {asked:,} drafts ({failed / asked:.1%}), allowed are "
            f"{allowed_share:.1%} (score.max_failed_share); nothing was committed. One of them: {problem}; shorten "
            "score.draft.prompt, give another decoder, or allow a larger share and look into the column detail"
        )


def _remember_empty(plan: Plan, files: Sequence[SourceFile], rows: Counter[tuple[str, str]]) -> None:
    wanted = wanted_of(plan)
    for file in files:
        if not rows[file.source, file.relative]:
            remember_empty(plan.run.scores, wanted.scored(file))
