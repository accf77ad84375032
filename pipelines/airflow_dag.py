"""A pipeline as a DAG of Airflow 3: `mapring_dag(CONFIG)`; the only home of Airflow.

Airflow has a venv of its own (`scripts/setup_airflow.sh`), so this module is imported by files in its folder of DAGs
and by nothing else here; stages run in mapring's venv, as the commands that `mapring run` starts.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from mapring.errors import SettingsError
from mapring.settings import Settings, load_settings
from mapring.settings.schedule import Schedule
from pipelines import dag_tasks
from pipelines.archive import package_directory
from pipelines.stages import Command

OF_SETTINGS = "of the settings"
_MOST_SECONDS = 3600.0  # between attempts, as `mapring schedule` has it
_WRONG_SETTING = re.compile(rf"(?:Error code is:|non-zero exit code) {SettingsError.exit_code}\b")


def mapring_dag(
    config: str,
    overrides: Sequence[str] = (),
    *,
    dag_id: str | None = None,
    schedule: Any = OF_SETTINGS,
    start_date: datetime.datetime | None = None,
    command: Literal["score", "run"] | None = None,
    python: str | None = None,
    archive: str | None = None,
    conn_id: str = "spark_default",
    **dag_arguments: Any,
) -> DAG:
    """Build the DAG of a pipeline: a check, its stages, and alerts behind the scoring, as the settings have them.

    Args:
        config: absolute path or URI of the pipeline's YAML; paths in it are absolute or URIs, too.
        overrides: KEY=VALUE words for every task.
        dag_id: `mapring_` and the pipeline's name, unless given.
        schedule: the settings' cron and time zone, or what Airflow takes, such as None for runs by hand only.
        start_date: where `schedule.catch_up` is all, the moment from which missed times are made up for.
        command: what `schedule.command` says, unless given: score, or run for all stages.
        python: the interpreter of mapring's venv; that in `.venv` beside this package, unless given.
        archive: path or URI of what executors get of our code; `dist/mapring.zip` there (`make dist`), unless given.
        conn_id: Airflow's connection to Spark, which names the master.
        dag_arguments: further arguments of DAG; `default_args` are added to ours.

    Raises:
        SettingsError: a setting is wrong or missing, or a path is relative; Airflow shows it as an import error.
    """
    settings = load_settings(config, overrides)
    dag_tasks.refuse_relative(config, settings.run_dir)
    root = package_directory("pipelines").parent
    pipeline = dag_tasks.Pipeline(
        config=config,
        overrides=tuple(overrides),
        settings=settings,
        python=Path(python or root / ".venv/bin/python"),
        archive=archive or str(root / "dist/mapring.zip"),
    )
    policy = settings.schedule or Schedule(cron="0 0 * * *")  # of which only what does not speak of times is used
    is_of_settings = isinstance(schedule, str) and schedule == OF_SETTINGS
    has_catchup = policy.catch_up == "all" and schedule is not None
    if has_catchup and start_date is None:
        raise SettingsError(
            f"{config}: schedule.catch_up: found all, which needs the DAG's start_date: the moment from which missed "
            "times are made up for"
        )
    with DAG(
        dag_id or f"mapring_{settings.name}",
        schedule=_timetable(config, settings) if is_of_settings else schedule,
        start_date=start_date,
        catchup=has_catchup,
        max_active_runs=1,
        default_args={**_retries(policy), **dag_arguments.pop("default_args", {})},
        **{"tags": ["mapring"], **dag_arguments},
    ) as dag:
        names = dag_tasks.task_names(settings, command or policy.command)
        tasks = {name: _task(name, pipeline, conn_id) for name in names}
        if is_of_settings and policy.catch_up == "none":
            _due(policy.late_seconds) >> tasks[names[0]]
        for before, after in dag_tasks.task_order(names):
            tasks[before] >> tasks[after]
    return dag


class _SettingsAreFinal:
    """A task whose process says by exit code 2 that a setting is wrong: that fails at once and is not tried again."""

    def execute(self, context: Any) -> Any:
        try:
            return super().execute(context)  # type: ignore[misc]
        except AirflowException as error:
            if _WRONG_SETTING.search(str(error)):
                raise AirflowFailException(f"a setting is wrong, see the line 'error:' above; {error}") from error
            raise


class SparkStage(_SettingsAreFinal, SparkSubmitOperator):
    """A stage that spark-submit starts."""


class ProcessTask(_SettingsAreFinal, BashOperator):
    """A command of mapring's own."""


def _task(name: str, pipeline: dag_tasks.Pipeline, conn_id: str) -> Any:
    if name in dag_tasks.SPARK_STAGES:
        return _spark_stage(name, pipeline, conn_id)
    if name == dag_tasks.CHECK:
        return _process_task(name, dag_tasks.check(pipeline), output_processor=json.loads)
    commands = {"train": dag_tasks.train, "alerts": dag_tasks.alerts}
    return _process_task(name, commands[name](pipeline), do_xcom_push=False)


def _spark_stage(stage: str, pipeline: dag_tasks.Pipeline, conn_id: str) -> Any:
    told = dag_tasks.submission(stage, pipeline)
    path = {} if told.programs is None else {"PATH": f"{told.programs}{os.pathsep}{os.environ['PATH']}"}
    return SparkStage(
        task_id=stage,
        name=f"mapring-{pipeline.settings.name}-{stage}",
        conn_id=conn_id,
        application=told.script,
        py_files=told.archive,
        conf=dict(told.conf),
        application_args=list(told.arguments),
        env_vars={**told.environment, **path},
    )


def _process_task(name: str, command: Command, **arguments: Any) -> Any:
    return ProcessTask(
        task_id=name,
        # A command that ends with .sh would be taken for the name of a template, so a blank stands behind it.
        bash_command=f"exec {shlex.join(command.words)} ",
        env={**command.environment, "PYTHONUNBUFFERED": "1"},
        append_env=True,
        **arguments,
    )


def _timetable(config: str, settings: Settings) -> Any:
    found = settings.schedule
    if found is None:
        raise SettingsError(
            f"{config}: schedule: is missing; add it, such as schedule: '0 6 * * *', or build the DAG with "
            "schedule=None for runs by hand"
        )
    return CronDataIntervalTimetable(dag_tasks.cron_of(found), timezone=found.timezone)


def _retries(policy: Schedule) -> dict[str, Any]:
    return {
        "retries": policy.retries,
        "retry_delay": datetime.timedelta(seconds=policy.retry_seconds),
        "retry_exponential_backoff": True,
        "max_retry_delay": datetime.timedelta(seconds=_MOST_SECONDS),
    }


def _due(late_seconds: float) -> Any:
    """The task that ends a run which begins too late, where `schedule.catch_up` is none."""
    return ShortCircuitOperator(task_id="due", python_callable=_is_due, op_kwargs={"late_seconds": late_seconds})


def _is_due(late_seconds: float, **context: Any) -> bool:
    if context["dag_run"].run_type != "scheduled":
        return True
    late = datetime.datetime.now(datetime.UTC) - context["data_interval_end"]
    return bool(late.total_seconds() <= late_seconds)
