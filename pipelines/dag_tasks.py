"""What the tasks of an orchestrator's DAG are told: the commands of `mapring run`, from a pipeline's settings alone.

A DAG is built again every minute, on a machine that may see no data, so nothing here looks at the inputs. What hangs
on them is told by the DAG's first task, `dag_check.py`, and stands here as a template.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mapring.errors import SettingsError
from mapring.settings import Settings
from mapring.settings.schedule import Schedule
from pipelines.stages import (
    STAGES,
    Command,
    driver_option_names,
    program,
    spark_script,
    stages_of,
    train_command,
)

SPARK_STAGES = tuple(stage for stage in STAGES if stage != "train")
CHECK = "check"  # the first task
_BACKFILL = "dag_run.run_type == 'backfill'"
_BOUNDS = {"since": "data_interval_start", "until": "data_interval_end"}  # as Airflow has them


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as a DAG's worker starts it.

    `python` is the interpreter of mapring's environment, `archive` what executors get of our code (`make dist`).
    """

    config: str
    overrides: tuple[str, ...]
    settings: Settings
    python: Path
    archive: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """What every stage is told on its command line."""
        return ("--config", self.config, *self.overrides)


@dataclass(frozen=True)
class Submission:
    """What spark-submit is told of a stage, but for the master, which is the connection's matter.

    Where `programs` are named, spark-submit is among them; else it is on the worker's PATH.
    """

    script: str
    archive: str
    conf: Mapping[str, str]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    programs: Path | None


def task_names(settings: Settings, command: Literal["run", "score"]) -> tuple[str, ...]:
    """The tasks of a DAG in their order, for `schedule.command`: score, or run for all stages.

    Raises:
        SettingsError: there is nothing to score.
    """
    if command == "score" and settings.score is None:
        raise SettingsError("score: is missing; add what is to be scored, or build the DAG with command='run'")
    has_alerts = settings.score is not None and settings.alerts is not None
    return (CHECK, *stages_of(settings, command), *(("alerts",) if has_alerts else ()))


def task_order(names: Sequence[str]) -> list[tuple[str, str]]:
    """Which task comes before which one: one behind the other, but alerts right behind the scores that they judge.

    So a ranking that fails keeps no alert back.
    """
    chained = list(itertools.pairwise(name for name in names if name != "alerts"))
    return [*chained, ("score", "alerts")] if "alerts" in names else chained


def submission(stage: str, pipeline: Pipeline) -> Submission:
    """What spark-submit is told to run a stage; values in braces are templates that Airflow fills in for each run."""
    spark = pipeline.settings.spark
    names = driver_option_names(spark)
    told = {name: f"{{{{ ti.xcom_pull(task_ids='{CHECK}')['{stage}']['{name}'] }}}}" for name in names}
    bounds = backfill_bounds(pipeline.settings) if stage == "score" else ()
    # YARN and Kubernetes have a Spark of their own, and would hand a worker's environment on to other machines.
    is_spark_ours = spark.master.startswith(("local", "spark://"))
    python = str(pipeline.python)
    return Submission(
        script=str(spark_script(stage)),
        archive=pipeline.archive,
        conf={**told, **({} if is_spark_ours else {"spark.pyspark.python": python}), **spark.conf},
        arguments=(*pipeline.arguments, *bounds),
        environment={"PYSPARK_PYTHON": python} if is_spark_ours else {},
        programs=pipeline.python.parent if is_spark_ours else None,
    )


def backfill_bounds(settings: Settings) -> tuple[str, ...]:
    """Overrides that score what was modified in a backfill's interval; in every other run what the settings say."""
    score = settings.score
    if score is None:
        return ()
    return tuple(
        f"score.{key}={{{{ {moment}.isoformat() if {_BACKFILL} else '{json.dumps(getattr(score, key))}' }}}}"
        for key, moment in _BOUNDS.items()
    )


def train(pipeline: Pipeline) -> Command:
    """The command that `mapring train` starts."""
    return train_command(pipeline.settings.ring, pipeline.arguments, pipeline.python)


def check(pipeline: Pipeline) -> Command:
    """The command that holds settings against the world, and prints what the driver's JVM of each stage is told."""
    words = (str(pipeline.python), "-m", "pipelines.dag_check", "--archive", pipeline.archive, *pipeline.arguments)
    return Command(words, {})


def alerts(pipeline: Pipeline) -> Command:
    """`mapring alerts`."""
    return Command((program("mapring", pipeline.python), "alerts", pipeline.config, *pipeline.overrides), {})


def cron_of(schedule: Schedule) -> str:
    """The cron expression of a schedule, where it means the same to Airflow's library (croniter).

    Raises:
        SettingsError: it has seconds, or both day fields of which one begins with a star: that is a day on which both
            fit for cron, and one on which either fits for Airflow.
    """
    fields = schedule.cron.split()
    if len(fields) != 5:
        raise SettingsError(
            f"schedule.cron: found {schedule.cron!r}, which begins with seconds; Airflow runs at whole minutes: "
            "leave out the first field"
        )
    days = (fields[2], fields[4])
    if "*" not in days and any(field.startswith("*") for field in days):
        raise SettingsError(
            f"schedule.cron: found {schedule.cron!r}, where cron wants both day fields to fit and Airflow either; "
            "write one of them as *, or list its days"
        )
    return schedule.cron


def refuse_relative(config: str, run_dir: str) -> None:
    """Raise SettingsError for paths that would mean another place in each worker's folder."""
    for key, path in (("config", config), ("run_dir", run_dir)):
        if "://" not in path and not Path(path).is_absolute():
            raise SettingsError(
                f"{config}: {key}: found {path!r}, which hangs on the folder that a worker runs in; expected an "
                "absolute path or a URI, for the inputs as well"
            )
