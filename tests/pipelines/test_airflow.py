"""The DAG in Airflow's own venv: imported, run by `dag.test()` from raw text to scores on a real Spark, run again.

The venv is made by `scripts/setup_airflow.sh` where it is missing, which needs pip's package index and some minutes.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from deltalake import DeltaTable

from mapring.contract import read_manifest
from mapring.plan import Plan, make_plan
from mapring.settings.schedule import Schedule
from pipelines.archive import write_archive
from pipelines.launch import last_checkpoint
from pipelines.scheduling.due import times_after
from tests.tiny import write_world
from tests.tiny_model import write_base_model

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build/airflow"
RUNS = Path(__file__).with_name("airflow_runs.py")
EXAMPLE = ROOT / "docs/airflow_example.py"
CRON = {"cron": "30 6 * * 1-5", "timezone": "Europe/Berlin", "command": "run", "retries": 2, "retry_seconds": 1}
TASKS = ["check", "preprocess", "train", "score", "alerts"]
PIPELINE, UNSCHEDULED, LATE, ALL, WRONG = "mapring_tiny", "by_hand", "late", "all", "wrong"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Airflow:
    """An installation with a folder of DAGs, of which one is the example with this world's pipeline in it."""

    config: str
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(self.root / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.root}/airflow.db",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
        }

    def start(self, *words: str) -> Started:
        log = self.root / f"{len(list(self.root.glob('*.log')))}-{'-'.join(words)}.log"
        command = [str(HOME / "bin/python"), str(RUNS), *words]
        with log.open("w") as sink:
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.root, stdout=sink, stderr=sink, start_new_session=True
            )
        return Started(process, log)


@dataclass(frozen=True)
class Started:
    """One of the things that `airflow_runs.py` does, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def result(self) -> Any:
        """What it printed on its last line, once it has ended."""
        code = self.process.wait(1500)  # it takes a minute of CPU time, and this machine may be shared
        lines = self.log.read_text().splitlines()
        assert code == 0, "\n".join(lines[-60:])
        return json.loads(lines[-1])


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    made = subprocess.run(
        [ROOT / "scripts/setup_airflow.sh", str(HOME)], capture_output=True, text=True, check=False, timeout=1500
    )
    assert made.returncode == 0, f"there is no Airflow to test with: {made.stdout}{made.stderr}"
    root = tmp_path_factory.mktemp("airflow")
    config, _ = write_world(root)
    write_base_model(root / "tokenizer")
    values = yaml.safe_load(Path(config).read_text())
    values["train"] |= {"epochs": 20, "checkpoint_every_steps": 10, "learning_rate": 1e-3, "precision": "fp32"}
    Path(config).write_text(yaml.safe_dump({**values, "alerts": {}, "schedule": CRON}))
    archive = write_archive(root / "mapring.zip")
    here = f"python={sys.executable!r}, archive={str(archive)!r}"
    dags = {
        PIPELINE: EXAMPLE.read_text().replace('"/srv/mapring/conf/reviews.yaml"', f"{config!r}, {here}"),
        UNSCHEDULED: made_dag(f"{config!r}, dag_id={UNSCHEDULED!r}, schedule=None, command='score', {here}"),
        LATE: made_dag(f"{config!r}, ['schedule.catch_up=none'], dag_id={LATE!r}, {here}"),
        ALL: made_dag(f"{config!r}, ['schedule.catch_up=all'], dag_id={ALL!r}, start_date=FIRST, {here}"),
        WRONG: made_dag(f"{config!r}, ['score.inputs.0.path=/missing.txt'], dag_id={WRONG!r}, {here}"),
        "unbounded": made_dag(f"{config!r}, ['schedule.catch_up=all'], dag_id='unbounded', {here}"),
        "refused": made_dag(f"{config!r}, ['schedule.cron=0 0 6 * * *'], dag_id='refused', {here}"),
    }
    assert config in dags[PIPELINE]
    for name, text in dags.items():
        path = root / "dags" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = Airflow(config, root)
    done = subprocess.run(
        [HOME / "bin/airflow", "db", "migrate"], env=found.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    yield found


def made_dag(arguments: str) -> str:
    return (
        "import datetime\n\nfrom pipelines.airflow_dag import mapring_dag\n\n"
        "FIRST = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)\n"
        f"dag = mapring_dag({arguments})\n"
    )


def test_airflow_imports_the_example_and_plans_it_as_the_settings_say(airflow: Airflow) -> None:
    found = airflow.start("imports").result()
    assert found["due"] == [True, False, True]
    errors = {Path(name).stem: text for name, text in found["errors"].items()}
    assert set(errors) == {"refused", "unbounded"}
    assert "Airflow runs at whole minutes" in errors["refused"] and "needs the DAG's start_date" in errors["unbounded"]
    dags = found["dags"]
    assert set(dags) == {PIPELINE, UNSCHEDULED, LATE, ALL, WRONG}
    dag = dags[PIPELINE]
    assert dag["file"] == str(airflow.root / "dags" / f"{PIPELINE}.py")
    assert dag["tasks"] == TASKS
    assert set(dag["retries"].values()) == {2} and dag["max_active_runs"] == 1
    assert [dags[name]["catchup"] for name in (PIPELINE, LATE, ALL)] == [False, False, True]
    assert dags[LATE]["tasks"] == ["due", *dag["tasks"]]
    assert dags[UNSCHEDULED]["tasks"] == [name for name in TASKS if name not in ("preprocess", "train")]
    assert "times" not in dags[UNSCHEDULED]
    assert dag["backfill"][-2:] == [
        "score.since=2026-03-28T05:00:00+00:00",
        "score.until=2026-03-28T06:00:00+00:00",
    ]
    ours = times_after(
        Schedule(cron=CRON["cron"], timezone=CRON["timezone"]), datetime.datetime(2026, 3, 27, tzinfo=datetime.UTC)
    )
    planned = [datetime.datetime.fromisoformat(text) for text in dag["times"]]
    first = next(index for index, moment in enumerate(iter(ours)) if moment == planned[0])
    assert first <= 1  # an interval begins at the first time and ends, and is run, at the second
    assert planned[1:] == [next(ours) for _ in planned[1:]]


def test_a_killed_training_is_retried_and_the_next_run_has_nothing_to_do(airflow: Airflow) -> None:
    plan = make_plan(airflow.config, [])
    started = airflow.start("run", PIPELINE)
    step = kill_a_rank_after_its_first_checkpoint(started.process, plan)
    done = started.result()
    log = started.log.read_text()
    assert done["state"] == "success", log[-6000:]
    attempts = {name: task["attempts"] for name, task in done["tasks"].items()}
    assert attempts == {**dict.fromkeys(TASKS, 1), "train": 2} and list(done["tasks"]) == TASKS
    assert "Spark-Submit cmd: spark-submit --master local[2] --conf spark.driver.memory=" in log
    assert f"going on from the checkpoint of step {int(step.removeprefix('step-'))}" in log
    assert read_manifest(plan.model_directory).details["world_size"] == 2
    table = DeltaTable(plan.run.scores)
    assert table.version() == 0 and table.to_pyarrow_dataset().count_rows() == 2

    model = Path(plan.model_directory, "published.json").read_bytes()
    started = airflow.start("run", PIPELINE)
    again = started.result()
    log = started.log.read_text()
    assert again["state"] == "success" and {task["attempts"] for task in again["tasks"].values()} == {1}
    assert f"[mapring preprocess] skipped: shards {plan.shards} are already published" in log
    assert f"[mapring train] model {plan.model} is already published" in log
    assert "[mapring score] skipped: the table is up to date" in log
    assert "INFO SparkContext" not in log
    assert DeltaTable(plan.run.scores).version() == 0
    assert Path(plan.model_directory, "published.json").read_bytes() == model


def kill_a_rank_after_its_first_checkpoint(process: subprocess.Popen[bytes], plan: Plan) -> str:
    while process.poll() is None:
        step = last_checkpoint(plan)
        if step is not None:
            ranks = [child for child in psutil.Process(process.pid).children(recursive=True) if is_rank(child)]
            assert ranks, "the training was over before a rank could be killed"
            ranks[-1].kill()
            return step
        time.sleep(0.05)
    raise AssertionError("the run ended before a checkpoint was there")


def is_rank(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return words[1:3] == ["-m", "training.train"]


def test_a_wrong_setting_fails_at_once(airflow: Airflow) -> None:
    started = airflow.start("run", WRONG)
    done = started.result()
    assert done["state"] == "failed"
    assert {name: (task["state"], task["attempts"]) for name, task in done["tasks"].items()} == {
        **dict.fromkeys(TASKS, ("upstream_failed", 0)),
        "check": ("failed", 1),
    }
    assert "score.inputs.0.path: found no file" in started.log.read_text()
    error = airflow.start("final", PIPELINE).result()["error"]
    assert error is not None and error.startswith("a setting is wrong") and "train.nonsense: unknown key" in error
