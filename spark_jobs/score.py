"""New text to the scores table: `spark-submit spark_jobs/score.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import datetime
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mapring.contract import is_published
from mapring.errors import InputError, StageError
from mapring.lineage import SourceFile, content_identity
from mapring.plan import Plan
from mapring.progress import say, seconds_text
from mapring.scores.empty import remember_empty
from mapring.scores.seal import seal
from mapring.scores.table import ScoresTable, latest_commit
from mapring.scores.work import Work, find_work, tell_work, wanted_of
from spark_jobs.arguments import leave, run_main
from spark_jobs.fitting import start_fitted_session
from spark_jobs.quarantine import check_quarantine
from spark_jobs.records import FirstPass, read_records
from spark_jobs.scores_carry import affected_files, carry_over
from spark_jobs.scores_commit import OvertakenError, Scoring, commit_scores
from spark_jobs.scores_layout import file_count, lay_out
from spark_jobs.scoring import ROWS_PER_ROW_GROUP, ScoreBuilder, write_scores
from spark_jobs.segments import plan_segments, tell_unsplittable, unsplittable
from spark_jobs.session import partitions, watch
from spark_jobs.udf import MODEL_FAILED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "score"
_COMMIT_ATTEMPTS = 10


def score(plan: Plan) -> None:
    """Score the inputs that the table does not hold as they are wanted, and commit their rows in one transaction.

    Raises:
        InputError: the inputs hold no records, or too many that cannot be read.
        StageError: there is no model yet, the model fails on too many texts, an input changed while it was read, or
            another run scored the same inputs at the same time.
    """
    table, work = find_work(plan)
    if work.is_done:
        _finish(plan, table)
        say(STAGE, f"skipped: the table is up to date: {tell_work(work)}")
        return
    say(STAGE, tell_work(work))
    _check_model(plan)
    spark = start_fitted_session(STAGE, plan.settings, plan.scoring.inputs, work.score)
    scoring = _score(spark, plan, work, is_first=table is None)
    if scoring.rows or work.leaving:
        version = _commit(spark, plan, table, work, scoring)
        seal(plan.run.scores, version)
        _tell(scoring, version)
    else:
        say(STAGE, f"the {scoring.inputs:,} inputs hold no records; the table stays as it is")


def _finish(plan: Plan, table: ScoresTable | None) -> None:
    """Seal a scoring whose run was killed right after its commit."""
    commit = latest_commit(plan.run.scores) if table is not None else None
    if commit is not None:
        seal(plan.run.scores, commit.version)


def _check_model(plan: Plan) -> None:
    if is_published(plan.scoring_model_directory):
        return
    remedy = (
        f"run `mapring train {plan.config}` first, with the same settings"
        if plan.scoring.model is None
        else "give the fingerprint of a model that is published in run_dir/models"
    )
    raise StageError(f"{plan.config}: found no model at {plan.scoring_model_directory}; {remedy}")


def _score(spark: SparkSession, plan: Plan, work: Work, *, is_first: bool) -> Scoring:
    """Read, score and write the inputs that are to be scored; nothing of it is visible yet."""
    settings = plan.scoring
    run_id, start = uuid.uuid4().hex, time.monotonic()
    if not work.score:
        return Scoring(run_id=run_id, inputs=0, files=[], seconds=0)
    counted = spark.sparkContext.accumulator(0)
    records = _read(spark, plan, work.score, counted.add).persist()
    with watch(spark, STAGE, "read", counted):
        counts = records.groupBy("source", "path", "rule").count().collect()
    by_rule, by_input = Counter[str | None](), Counter[tuple[str, str]]()
    for row in counts:
        by_rule[row["rule"]] += row["count"]
        by_input[row["source"], row["path"]] += row["count"]
    read = by_input.total()
    if not read and is_first:
        raise InputError(f"{plan.config}: score.inputs: the files hold no records; check the inputs")
    check_quarantine(records, by_rule, allowed_share=settings.max_quarantined_share, stage=STAGE)
    scored = spark.sparkContext.accumulator(0)
    build = ScoreBuilder(
        model_directory=plan.scoring_model_directory,
        batch_tokens=settings.batch_tokens,
        model_fingerprint=plan.scoring_model,
        run_id=run_id,
        scored_at=datetime.datetime.now(datetime.UTC),
        on_rows=scored.add,
    )
    places = lay_out(by_input, min(settings.rows_per_file, max(1, -(-read // partitions(spark)))))
    inputs = pa.Table.from_pylist(
        [
            {
                "source": file.source,
                "path": file.relative,
                "first": place.first,
                "files": place.files,
                "input_identity": file.identity,
                "settings_fingerprint": plan.score_settings[file.source],
            }
            for file in work.score
            if (place := places.get((file.source, file.relative))) is not None
        ]
    )
    start = time.monotonic()
    with watch(spark, STAGE, f"score {read:,} rows", scored):
        written = (
            write_scores(records, build, inputs=inputs, files=file_count(places), directory=plan.run.scores)
            if read
            else []
        )
    records.unpersist()
    scoring = Scoring(run_id=run_id, inputs=len(work.score), files=written, seconds=time.monotonic() - start)
    _conserve(read, scoring)
    _check_failed(scoring, settings.max_failed_share)
    _check_unchanged(work.score)
    _remember_empty(plan, work.score, by_input)
    return scoring


def _read(spark: SparkSession, plan: Plan, files: Sequence[SourceFile], on_rows: Callable[[int], None]) -> DataFrame:
    inputs = tuple(source.model_copy(update={"label_column": None}) for source in plan.scoring.inputs)
    segments = plan_segments(inputs, files, plan.settings.spark.split_bytes)
    first_pass = FirstPass(
        segments=segments, normalization=plan.settings.preprocess.normalization, filters=None, on_rows=on_rows
    )
    count = partitions(spark)
    records = read_records(spark, first_pass, count)
    large = unsplittable(inputs, files, plan.settings.spark.split_bytes)
    tell_unsplittable(STAGE, large)
    return records.repartition(count, "doc_id") if large else records


def _commit(spark: SparkSession, plan: Plan, table: ScoresTable | None, work: Work, scoring: Scoring) -> int:
    """Bring a scoring into the table, also where another run came first, unless that one scored the same inputs."""
    for _ in range(_COMMIT_ATTEMPTS):
        leaving = frozenset(found.key for found in work.leaving)
        removed = affected_files(table.files, leaving) if table is not None else []
        carried = carry_over(spark, plan.run.scores, removed, leaving, ROWS_PER_ROW_GROUP)
        try:
            return commit_scores(plan, table, scoring, carried=carried, removed=removed)
        except OvertakenError as error:
            table, work = _again(plan, work, error)
    raise StageError(
        f"{plan.run.scores}: other runs committed {_COMMIT_ATTEMPTS} times while this one tried to; nothing of this "
        "run is visible. Run the command again when they are done"
    )


def _again(plan: Plan, work: Work, error: OvertakenError) -> tuple[ScoresTable | None, Work]:
    """The table and the work after another run's commit, where all that was scored here is still to be done."""
    table, now = find_work(plan)
    wanted = wanted_of(plan)
    mine = {wanted.scored(file) for file in work.score}
    if not mine <= {wanted.scored(file) for file in now.score}:
        raise error
    say(STAGE, "another run committed other inputs in the meantime; committing after it")
    keys = {found.key for found in mine} | {found.key for found in work.leaving}
    return table, Work(
        score=work.score,
        leaving=frozenset(found for found in now.leaving if found.key in keys),
        reasons=work.reasons,
        unchanged=now.unchanged,
        outside=now.outside,
        gone=now.gone,
    )


def _tell(scoring: Scoring, version: int) -> None:
    speed = f"{scoring.documents_per_second:,.0f} docs/s with {scoring.padding_share:.1%} padding"
    say(
        STAGE,
        f"committed {scoring.rows:,} rows of {scoring.inputs:,} inputs as version {version} in "
        f"{seconds_text(scoring.seconds)}: {scoring.scored:,} scored at {speed}, "
        f"{scoring.rows - scoring.scored:,} with an error",
    )


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


def _check_unchanged(files: Sequence[SourceFile]) -> None:
    """Refuse scores of an input that is no longer the one whose identity they would carry."""
    for file in files:
        found = content_identity(file.uri)
        if found != file.identity:
            raise StageError(
                f"{file.uri}: changed while it was scored (found {found}, expected {file.identity}); nothing was "
                "committed. Run the command again when it is complete"
            )


def _remember_empty(plan: Plan, files: Sequence[SourceFile], rows: Counter[tuple[str, str]]) -> None:
    wanted = wanted_of(plan)
    for file in files:
        if not rows[file.source, file.relative]:
            remember_empty(plan.run.scores, wanted.scored(file))


if __name__ == "__main__":
    leave(run_main(score, sys.argv[1:]))
