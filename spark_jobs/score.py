"""New text to the scores table: `spark-submit spark_jobs/score.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import datetime
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from mapring.contract import is_published
from mapring.errors import InputError, StageError
from mapring.plan import Plan
from mapring.progress import say, seconds_text
from mapring.scores_seal import seal
from mapring.scores_table import latest_commit
from spark_jobs.arguments import leave, run_main
from spark_jobs.fitting import start_fitted_session
from spark_jobs.prediction import MODEL_FAILED
from spark_jobs.quarantine import check_quarantine, count_by_rule
from spark_jobs.records import FirstPass, read_records
from spark_jobs.scores_commit import Scoring, commit_scores, open_table
from spark_jobs.scoring import ScoreBuilder, write_scores
from spark_jobs.segments import plan_segments, tell_unsplittable, unsplittable
from spark_jobs.session import partitions, watch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "score"


def score(plan: Plan) -> None:
    """Score the configured inputs, unless the table already holds exactly these scores.

    Raises:
        StageError: there is no model yet, or another run committed at the same time.
    """
    inputs = plan.scoring.inputs
    table = open_table(plan.run.scores)
    commit = latest_commit(plan.run.scores)
    if commit is not None and commit.fingerprint == plan.scores:
        seal(plan.run.scores, commit.version)  # missing if the run that committed it was killed right after
        say(STAGE, f"skipped: scores {plan.scores} are already in the table")
        return
    if not is_published(plan.model_directory):
        raise StageError(
            f"{plan.config}: found no model at {plan.model_directory}; run `mapring train {plan.config}` first, "
            "with the same settings"
        )
    spark = start_fitted_session(STAGE, plan.settings, inputs, plan.score_sources)
    scoring = _score(spark, plan)
    version = commit_scores(plan, scoring, table)
    seal(plan.run.scores, version)
    say(
        STAGE,
        f"committed {scoring.rows:,} rows as version {version} in {seconds_text(scoring.seconds)}: {scoring.scored:,} "
        f"scored at {scoring.documents_per_second:,.0f} docs/s with {scoring.padding_share:.1%} padding, "
        f"{scoring.rows - scoring.scored:,} with an error",
    )


def _score(spark: SparkSession, plan: Plan) -> Scoring:
    settings = plan.scoring
    rows = spark.sparkContext.accumulator(0)
    records = _read(spark, plan, rows.add).persist()
    with watch(spark, STAGE, "read", rows):
        by_rule = count_by_rule(records)
    read = sum(by_rule.values())
    if not read:
        raise InputError(f"{plan.config}: score.inputs: the files hold no records; check the inputs")
    check_quarantine(records, by_rule, allowed_share=settings.max_quarantined_share, stage=STAGE)
    scored = spark.sparkContext.accumulator(0)
    build = ScoreBuilder(
        model_directory=plan.model_directory,
        batch_tokens=settings.batch_tokens,
        answers=settings,
        model_fingerprint=plan.model,
        run_id=uuid.uuid4().hex,
        scored_at=datetime.datetime.now(datetime.UTC),
        on_rows=scored.add,
    )
    files = max(partitions(spark), -(-read // settings.rows_per_file))
    start = time.monotonic()
    with watch(spark, STAGE, f"score {read:,} rows", scored):
        written = write_scores(records, build, files=files, directory=plan.run.scores)
    scoring = Scoring(run_id=build.run_id, files=written, seconds=time.monotonic() - start)
    _conserve(read, scoring)
    _check_failed(scoring, settings.max_failed_share)
    return scoring


def _read(spark: SparkSession, plan: Plan, on_rows: Callable[[int], None]) -> DataFrame:
    inputs = tuple(source.model_copy(update={"label_column": None}) for source in plan.scoring.inputs)
    segments = plan_segments(inputs, plan.score_sources, plan.settings.spark.split_bytes)
    first_pass = FirstPass(
        segments=segments, normalization=plan.settings.preprocess.normalization, filters=None, on_rows=on_rows
    )
    count = partitions(spark)
    records = read_records(spark, first_pass, count)
    large = unsplittable(inputs, plan.score_sources, plan.settings.spark.split_bytes)
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


if __name__ == "__main__":
    leave(run_main(score, sys.argv[1:]))
