"""Run by Airflow's own interpreter: `airflow_runs.py WHAT`, in a folder of DAGs; prints JSON on its last line.

imports    what Airflow finds in its folder of DAGs, and what the DAGs are
run ID     one run of the DAG ID by `dag.test()`: its tasks, their states, attempts and times
final      what becomes of a Spark stage whose settings are wrong
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.base import TimeRestriction
from airflow.utils.types import DagRunType

from pipelines import airflow_dag

SOME_TIMES = 50


def bag() -> BundleDagBag:
    folder = Path(conf.get("core", "dags_folder"))
    return BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")


def imports() -> dict[str, Any]:
    found = bag()
    return {
        "errors": found.import_errors,
        "dags": {name: described(dag) for name, dag in found.dags.items()},
        "due": [is_due(*run) for run in (("scheduled", 50), ("scheduled", 70), ("manual", 70))],
    }


def described(dag: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "file": dag.fileloc,
        "tasks": [task.task_id for task in dag.topological_sort()],
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "retries": {task.task_id: task.retries for task in dag.tasks},
    }
    if "score" in dag.task_dict:
        told["backfill"] = backfill_arguments(dag.task_dict["score"])
    if dag.schedule is not None:
        told["times"] = times(coerce_to_core_timetable(dag.timetable))
    return told


def is_due(run_type: str, seconds: float) -> bool:
    """Whether a run that begins so late is run where missed times are passed over after 60 s."""
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    run = SimpleNamespace(run_type=DagRunType(run_type))
    return airflow_dag._is_due(60.0, dag_run=run, data_interval_end=end)


def backfill_arguments(task: Any) -> list[str]:
    """What the scoring of a backfill is told."""
    moments = [datetime.datetime(2026, 3, 28, hour, tzinfo=datetime.UTC) for hour in (5, 6)]
    context = {"data_interval_start": moments[0], "data_interval_end": moments[1]}
    run = SimpleNamespace(run_type=DagRunType.BACKFILL_JOB)
    return list(task.render_template(task.application_args, {**context, "dag_run": run}))


def times(timetable: Any) -> list[str]:
    """The first runs after a moment before the clocks of Europe go forward, as Airflow plans them."""
    earliest = datetime.datetime(2026, 3, 27, tzinfo=datetime.UTC)
    restriction = TimeRestriction(earliest=earliest, latest=None, catchup=True)
    last, found = None, []
    for _ in range(SOME_TIMES):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        last = info.data_interval
        found.append(info.run_after.isoformat())
    return found


def run(dag_id: str) -> dict[str, Any]:
    done = bag().dags[dag_id].test()
    tasks = sorted(done.get_task_instances(), key=lambda task: (task.start_date is None, task.start_date))
    return {
        "state": str(done.state),
        "tasks": {
            task.task_id: {
                "state": str(task.state),
                "attempts": task.try_number,
                "start": task.start_date and task.start_date.isoformat(),
                "seconds": task.duration,
            }
            for task in tasks
        },
    }


def final(dag_id: str) -> dict[str, Any]:
    task = bag().dags[dag_id].task_dict["preprocess"]
    task.conf = {}
    task.application_args = [*task.application_args, "train.nonsense=1"]
    try:
        task.execute({})
    except AirflowFailException as error:
        return {"error": str(error)}
    return {"error": None}


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print(json.dumps({"imports": imports, "run": run, "final": final}[what](*words)))  # noqa: T201
