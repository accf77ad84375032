"""Where a scoring is killed: every step of the driver, every step of a task, on a first run and on a later one."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple


class KillPoint(NamedTuple):
    """One kill -9, `when` a function (MODULE:FUNCTION) is entered or left.

    `victim` is the process that calls it, or for tasks also the driver's JVM above it. `match` is a part of the
    function's first argument. `is_first` is a run without a table before it.
    """

    function: str
    when: Literal["before", "after"]
    where: Literal["driver", "task"] = "driver"
    victim: Literal["self", "jvm"] = "self"
    match: str = ""
    is_first: bool = False

    @property
    def name(self) -> str:
        """What the point is called in results."""
        parts = [self.when, self.function.split(":")[1], self.match.strip("/.")]
        parts += ["in_a_task"] * (self.where == "task") + ["of_the_driver_s_jvm"] * (self.victim == "jvm")
        return "_".join([*filter(None, parts), *["on_a_first_run"] * self.is_first])

    @property
    def fault(self) -> dict[str, Any]:
        """What is planted in the job's processes (see `faults/plant`)."""
        return {
            "point": self.function,
            "when": self.when,
            "where": self.where,
            "victim": self.victim,
            "match": self.match,
            "program": "score.py",  # the driver, not the command that started it
        }


DRIVER_POINTS = [
    KillPoint("mapring.scores.work:find_work", "after"),
    KillPoint("spark_jobs.fitting:start_fitted_session", "before"),
    KillPoint("spark_jobs.fitting:start_fitted_session", "after"),
    KillPoint("spark_jobs.records:read_records", "after"),
    KillPoint("spark_jobs.quarantine:check_quarantine", "before"),
    KillPoint("spark_jobs.quarantine:check_quarantine", "after"),
    KillPoint("spark_jobs.scores_layout:lay_out", "after"),
    KillPoint("spark_jobs.scoring:write_scores", "before"),
    KillPoint("spark_jobs.scoring:write_scores", "after"),
    KillPoint("mapring.scores.empty:remember_empty", "before"),
    KillPoint("mapring.scores.empty:remember_empty", "after"),
    KillPoint("spark_jobs.scores_carry:affected_files", "after"),
    KillPoint("spark_jobs.scores_carry:carry_over", "before"),
    KillPoint("spark_jobs.scores_carry:carry_over", "after"),
    KillPoint("spark_jobs.scores_commit:commit_scores", "before"),
    KillPoint("mapring.contract.version:code_version", "after"),  # all of the commit is there but its entry in the log
    KillPoint("spark_jobs.scores_commit:commit_scores", "after"),
    KillPoint("mapring.scores.seal:seal", "before"),
    KillPoint("mapring.scores.seal:seal", "after"),
    KillPoint("spark_jobs.scoring:write_scores", "after", is_first=True),
    KillPoint("spark_jobs.scores_commit:commit_scores", "before", is_first=True),
    KillPoint("spark_jobs.scores_commit:commit_scores", "after", is_first=True),
    KillPoint("mapring.scores.seal:seal", "before", is_first=True),
]

TASK_POINTS = [
    KillPoint("mapring.text:normalize", "after", "task"),
    KillPoint("spark_jobs.predictor:load_predictor", "before", "task"),
    KillPoint("spark_jobs.predictor:load_predictor", "after", "task"),
    KillPoint("mapring.scores.statistics:file_statistics", "before", "task"),
    KillPoint("mapring.contract.publish:write_file", "before", "task"),
    KillPoint("mapring.contract.publish:write_file", "after", "task"),
    KillPoint("os:link", "before", "task", match="/data/"),
    KillPoint("os:link", "after", "task", match="/data/"),
    KillPoint("spark_jobs.tables:written_row", "before", "task", match="carried"),
    KillPoint("spark_jobs.tables:written_row", "after", "task", match="carried"),
    KillPoint("mapring.text:normalize", "after", "task", "jvm"),
    KillPoint("spark_jobs.predictor:load_predictor", "after", "task", "jvm"),
    KillPoint("mapring.contract.publish:write_file", "before", "task", "jvm"),
    KillPoint("mapring.contract.publish:write_file", "after", "task", "jvm"),
    KillPoint("spark_jobs.tables:written_row", "before", "task", "jvm", match="carried"),
    KillPoint("mapring.contract.publish:write_file", "after", "task", "jvm", is_first=True),
]

POINTS = [*DRIVER_POINTS, *TASK_POINTS]
