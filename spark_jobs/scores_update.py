"""A scoring into the table, also where other runs commit at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapring.errors import StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.scores.table import ScoresTable
from mapring.scores.work import Work, find_work, wanted_of
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
        StageError: other runs came first again and again.
    """
    for _ in range(_ATTEMPTS):
        leaving = frozenset(found.key for found in work.leaving)
        removed = affected_files(table.files, leaving) if table is not None else []
        carried = carry_over(spark, plan.run.scores, removed, leaving, ROWS_PER_ROW_GROUP)
        try:
            return commit_scores(plan, table, scoring, carried=carried, removed=removed)
        except OvertakenError as error:
            table, work = _again(plan, work, error)
    raise StageError(
        f"{plan.run.scores}: other runs committed {_ATTEMPTS} times while this one tried to; nothing of this "
        "run is visible. Run the command again when they are done"
    )


def _again(plan: Plan, work: Work, error: OvertakenError) -> tuple[ScoresTable | None, Work]:
    """The table and the work after another run's commit, where all that was scored here is still to be done."""
    table, now = find_work(plan)
    wanted = wanted_of(plan)
    mine = {wanted.scored(file) for file in work.score}
    if not mine <= {wanted.scored(file) for file in now.score}:
        raise error
    say("score", "another run committed other inputs in the meantime; committing after it")
    keys = {found.key for found in mine} | {found.key for found in work.leaving}
    return table, Work(
        score=work.score,
        leaving=frozenset(found for found in now.leaving if found.key in keys),
        reasons=work.reasons,
        unchanged=now.unchanged,
        outside=now.outside,
        gone=now.gone,
    )
