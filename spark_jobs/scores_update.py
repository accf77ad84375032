"""A scoring into the table, also where other runs commit at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapring.errors import StageError
from mapring.plan import Plan, check_none_forgotten
from mapring.progress import say
from mapring.scores.table import ScoresTable, read_table
from mapring.scores.work import Work
from mapring.watch.stored import CountKeeper
from mapring.watch.watched import counting_of
from spark_jobs.scores_carry import affected_files, carry_over
from spark_jobs.scores_commit import OvertakenError, Scoring, commit_scores
from spark_jobs.scoring import ROWS_PER_ROW_GROUP

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ATTEMPTS = 10


def update_table(spark: SparkSession, plan: Plan, table: ScoresTable | None, work: Work, scoring: Scoring) -> int:
    """Bring a scoring into the table; returns the table's new version.

    Where another run came first, the work is found again, and committed after it if the inputs were others.

    Raises:
        OvertakenError: another run scored the same inputs.
        StageError: other runs came first again and again, or a document was forgotten meanwhile.
    """
    for _ in range(_ATTEMPTS):
        leaving = frozenset(found.key for found in work.leaving)
        removed = affected_files(table.files, leaving) if table is not None else []
        models = {found.model for file in removed for found in file.inputs}
        keeper = CountKeeper(uri=plan.run.scores, counting=counting_of(plan.settings, models))
        carried = carry_over(spark, plan.run.scores, removed, leaving, ROWS_PER_ROW_GROUP, keeper)
        check_none_forgotten(plan, "score")
        try:
            return commit_scores(plan, table, scoring, carried=carried, removed=removed)
        except OvertakenError as error:
            table, work = _again(plan, table, work, error)
    raise StageError(
        f"{plan.run.scores}: other runs committed {_ATTEMPTS} times while this one tried to; nothing of this "
        "run is visible. Run the command again when they are done"
    )


def _again(
    plan: Plan, before: ScoresTable | None, work: Work, error: OvertakenError
) -> tuple[ScoresTable | None, Work]:
    """The table and the work after another run's commit, where that one has not touched what was scored here."""
    table = read_table(plan.run.scores)
    if (before and before.version) == (table and table.version):
        raise StageError(f"{plan.run.scores}: nothing can be committed to the table: {error.__cause__}") from None
    keys = {(file.source, file.relative) for file in work.score} | {found.key for found in work.leaving}
    had, has = (table.inputs if table is not None else {} for table in (before, table))
    if any(had.get(key) != has.get(key) for key in keys):
        raise error
    say("score", "another run committed other inputs in the meantime; committing after it")
    return table, work
