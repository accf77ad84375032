"""New text to the scores table: `spark-submit spark_jobs/score.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import sys

import pyarrow as pa

from mapring.contract import is_published, read_manifest
from mapring.contract.schemas import score_schema
from mapring.errors import SettingsError, StageError
from mapring.plan import Plan
from mapring.progress import say, seconds_text
from mapring.scores.migrations import migrated, why_not
from mapring.scores.seal import seal
from mapring.scores.table import ScoresTable, unsealed_scorings
from mapring.scores.work import Work, find_work, tell_work
from spark_jobs.arguments import leave, run_main
from spark_jobs.fitting import start_fitted_session
from spark_jobs.published_model import read_published_model
from spark_jobs.ranking.published import load_ranker
from spark_jobs.scored_inputs import STAGE, score_inputs
from spark_jobs.scores_commit import Scoring
from spark_jobs.scores_update import update_table


def score(plan: Plan) -> None:
    """Score the inputs that the table does not hold as they are wanted, and commit their rows in one transaction.

    Raises:
        InputError: the inputs hold no records, or too many that cannot be read.
        StageError: there is no model yet, the model fails on too many texts, an input changed while it was read, or
            another run scored the same inputs at the same time.
    """
    table, work = find_work(plan)
    _finish(plan, table)
    if work.is_done:
        say(STAGE, f"skipped: the table is up to date: {tell_work(work)}")
        return
    say(STAGE, tell_work(work))
    _check_model(plan)
    _check_ranker(plan)
    _check_decoder(plan)
    _check_columns(plan, table, work)
    spark = start_fitted_session(STAGE, plan.settings, plan.scoring.inputs, work.score)
    scoring = score_inputs(spark, plan, work.score, is_first=table is None)
    if scoring.rows or work.leaving:
        version = update_table(spark, plan, table, work, scoring)
        seal(plan.run.scores, version)
        _tell(scoring, version)
    else:
        say(STAGE, f"the {scoring.inputs:,} inputs hold no records; the table stays as it is")


def _finish(plan: Plan, table: ScoresTable | None) -> None:
    """Seal the scorings whose runs were killed right after their commits."""
    for version in unsealed_scorings(plan.run.scores) if table is not None else ():
        seal(plan.run.scores, version)


def _check_columns(plan: Plan, table: ScoresTable | None, work: Work) -> None:
    """Refuse to mix what different tasks put out; where no row would stay, the table takes the new columns."""
    wanted = score_schema(plan.score_mode).names
    if table is None or {*table.columns} == {*wanted} or work.leaving == set(table.inputs.values()):
        return
    if why := why_not(table.columns):
        raise StageError(f"{plan.run.scores}: {why}")
    if set(wanted) == set(migrated(pa.schema([(name, pa.null()) for name in table.columns])).names):
        raise StageError(
            f"{plan.run.scores}: found a table of an earlier mapring, whose rows would stay beside others; run "
            f"`mapring migrate {plan.config}`, which adds the columns that they lack"
        )
    differing = ", ".join(sorted({*table.columns} ^ {*wanted}))
    gone = 0 if plan.scoring.removed_inputs == "drop" else work.gone
    left_alone = len(set(table.inputs.values()) - work.leaving) - gone
    stay = [
        f"of {gone:,} inputs that are no longer there (score.removed_inputs=drop lets them go)" if gone else "",
        f"of {left_alone:,} inputs that this scoring leaves alone (score.since, score.until, score.new_model=new_rows, "
        "a stream), which a scoring of all inputs at once does not"
        if left_alone
        else "",
    ]
    raise StageError(
        f"{plan.run.scores}: found rows that differ in the columns {differing} from those to come, and would stay "
        f"beside them: {', and '.join(filter(None, stay))}; or give another run_dir"
    )


def _check_model(plan: Plan) -> None:
    """Refuse a model that is not there, or that is of another task or reads other inputs than the settings say."""
    if not is_published(plan.scoring_model_directory):
        remedy = (
            f"run `mapring train {plan.config}` first, with the same settings"
            if plan.scoring.model is None
            else "give the fingerprint of a model that is published in run_dir/models"
        )
        raise StageError(f"{plan.config}: found no model at {plan.scoring_model_directory}; {remedy}")
    model = read_published_model(plan.scoring_model_directory)
    model.mode_for(plan.scoring)
    given = plan.scoring.inputs[0].second_text_column
    if (given is not None) != model.is_pair:
        raise StageError(
            f"{plan.config}: score.inputs.0.second_text_column: found {given or 'none'!r}, but {model.directory} reads "
            f"{'pairs; name the second text' if model.is_pair else 'one text; remove it'}"
        )


def _check_ranker(plan: Plan) -> None:
    """Refuse to fill the ranker's column without a ranker, or with one of another model."""
    if not plan.scoring.ranker:
        return
    if not is_published(plan.ranker_directory):
        raise StageError(
            f"{plan.config}: found no ranker at {plan.ranker_directory}; run `mapring ranker {plan.config}` first, "
            "with the same settings"
        )
    load_ranker(plan.ranker_directory, read_manifest(plan.scoring_model_directory).fingerprint)


def _check_decoder(plan: Plan) -> None:
    """Refuse a published decoder that continues no single texts."""
    if plan.decoder is None or not is_published(plan.decoder_directory):
        return
    if read_published_model(plan.decoder_directory).is_pair:
        raise SettingsError(
            f"{plan.config}: score.draft.model: found {plan.decoder_directory}, which reads pairs of texts, expected a "
            "decoder of single ones; train it without second_text_column"
        )


def _tell(scoring: Scoring, version: int) -> None:
    drafts = ""
    if scoring.drafted or scoring.draft_failures:
        failed = f" and {scoring.draft_failures:,} that failed" if scoring.draft_failures else ""
        drafts = f"; {scoring.drafted:,} drafts{failed}"
    shared = f" ({scoring.fanned_out:,} as an equal text)" if scoring.fanned_out else ""
    speed = f"{scoring.documents_per_second:,.0f} docs/s with {scoring.padding_share:.1%} padding"
    say(
        STAGE,
        f"committed {scoring.rows:,} rows of {scoring.inputs:,} inputs as version {version} in "
        f"{seconds_text(scoring.seconds)}: {scoring.scored:,} scored{shared} at {speed}, "
        f"{scoring.rows - scoring.scored:,} with an error{drafts}"
        + (f"; {scoring.forgotten:,} records are forgotten and have no row" if scoring.forgotten else ""),
    )


if __name__ == "__main__":
    leave(run_main(score, sys.argv[1:]))
