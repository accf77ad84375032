"""What a DAG's tasks are told is what `mapring run` starts; its first task finds what is wrong before the others."""

from __future__ import annotations

import ast
import datetime
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings import load_settings
from mapring.settings.schedule import Schedule
from pipelines import dag_check, dag_tasks
from pipelines.archive import write_archive
from pipelines.dag_tasks import Pipeline
from pipelines.stages import JAVA_OPTIONS, stage_command
from tests.tiny import write_world

ROOT = Path(__file__).resolve().parents[2]
OVERRIDES = ("spark.conf.spark.task.maxFailures=2", "seed=5")
INTERVAL = [datetime.datetime(2026, 3, 28, hour, tzinfo=datetime.UTC) for hour in (5, 6)]


def pipeline_of(plan: Plan, archive: str = "a.zip") -> Pipeline:
    return Pipeline(plan.config, plan.overrides, plan.settings, Path(sys.executable), archive)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    config, _ = write_world(tmp_path)
    return make_plan(config, OVERRIDES)


def rendered(text: str, *, run_type: str = "scheduled", told: dict[str, Any] | None = None) -> str:
    """A template as Airflow fills it in."""
    context = {
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: {"check": told}[task_ids]),
        "dag_run": SimpleNamespace(run_type=run_type),
        "data_interval_start": INTERVAL[0],
        "data_interval_end": INTERVAL[1],
    }
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(context)


@pytest.mark.parametrize("stage", ["preprocess", "score"])
@pytest.mark.parametrize("extra", [(), ("spark.driver_memory=3g",), ("spark.conf.spark.driver.memory=5g",)])
def test_spark_submit_is_told_what_the_launcher_tells_it(plan: Plan, stage: str, extra: tuple[str, ...]) -> None:
    plan = make_plan(plan.config, [*OVERRIDES, *extra])
    archive = write_archive(Path(plan.config).with_name("a.zip"))
    pipeline = pipeline_of(plan, str(archive))
    found = dag_tasks.submission(stage, pipeline)
    told = dag_check.check(plan.config, plan.overrides, str(archive))
    launched = stage_command(stage, plan, archive)

    words = list(launched.words)
    script = words.index("--py-files") + 2
    options = dict(zip(words[1:script:2], words[2:script:2], strict=True))
    conf = dict(word.split("=", 1) for key, word in itertools.pairwise(words) if key == "--conf")
    conf |= {name: options[flag] for name, flag in dag_options().items() if flag in options}
    assert {key: rendered(value, told=told) for key, value in found.conf.items()} == conf
    assert len(conf) == 3 and conf["spark.task.maxFailures"] == "2"
    assert (found.script, found.archive) == (words[script], options["--py-files"])
    bounds = ["score.since=null", "score.until=null"] if stage == "score" else []
    assert [rendered(word) for word in found.arguments] == [*words[script + 1 :], *bounds]
    assert found.environment["PYSPARK_PYTHON"] == launched.environment["MAPRING_PYTHON"]
    assert Path(words[0]).parent == found.programs


def dag_options() -> dict[str, str]:
    return {"spark.driver.memory": "--driver-memory", JAVA_OPTIONS: "--driver-java-options"}


def test_a_cluster_with_a_spark_of_its_own_gets_no_environment_of_ours(plan: Plan) -> None:
    found = dag_tasks.submission("score", pipeline_of(make_plan(plan.config, ["spark.master=yarn"])))
    assert found.environment == {} and found.programs is None
    assert found.conf["spark.pyspark.python"] == sys.executable
    assert JAVA_OPTIONS not in found.conf


@pytest.mark.parametrize("extra", [(), ("ring.launcher=mpirun",), ("ring.ranks=1",), ("ring.hosts='a:2,b:2'",)])
def test_training_is_started_as_mapring_train_starts_it(plan: Plan, extra: tuple[str, ...]) -> None:
    plan = make_plan(plan.config, [*OVERRIDES, *extra])
    assert dag_tasks.train(pipeline_of(plan)) == stage_command("train", plan, Path("unused"))


def test_programs_are_those_of_mapring_s_venv_and_not_of_airflow_s(plan: Plan, tmp_path: Path) -> None:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("horovodrun", "mapring"):
        (programs / name).touch()
    other = Pipeline(plan.config, (), plan.settings, programs / "python", "a.zip")
    assert dag_tasks.train(other).words[:4] == (str(programs / "horovodrun"), "--gloo", "-np", "2")
    assert str(programs / "python") in dag_tasks.train(other).words
    assert dag_tasks.check(other).words[0] == str(programs / "python")
    assert dag_tasks.alerts(other).words == (str(programs / "mapring"), "alerts", plan.config)


def test_a_backfill_scores_its_interval_and_every_other_run_what_the_settings_say(plan: Plan) -> None:
    given = ("score.since=2026-01-31",)
    for overrides, since in (((), None), (given, "2026-01-31")):
        bounds = dag_tasks.backfill_bounds(load_settings(plan.config, overrides))
        usual = load_settings(plan.config, [*overrides, *(rendered(word) for word in bounds)])
        assert usual.score is not None and (usual.score.since, usual.score.until) == (since, None)
        words = [rendered(word, run_type="backfill") for word in bounds]
        score = load_settings(plan.config, [*overrides, *words]).score
        assert score is not None and score.since is not None and score.until is not None
        assert [datetime.datetime.fromisoformat(text) for text in (score.since, score.until)] == INTERVAL


def test_tasks_follow_the_command_and_what_the_settings_have(plan: Plan) -> None:
    assert dag_tasks.task_names(plan.settings, "run") == ("check", "preprocess", "train", "score")
    assert dag_tasks.task_names(plan.settings, "score") == ("check", "score")
    with_more = load_settings(plan.config, ["alerts={}", "rank={top_k: 3}"])
    assert dag_tasks.task_names(with_more, "run") == ("check", "preprocess", "train", "score", "rank", "alerts")
    assert dag_tasks.task_names(with_more, "score") == ("check", "score", "rank", "alerts")
    expected = [("check", "score"), ("score", "rank"), ("score", "alerts")]
    assert dag_tasks.task_order(("check", "score", "rank", "alerts")) == expected, "a failing rank keeps no alert back"
    assert dag_tasks.task_order(("check", "preprocess", "train")) == [("check", "preprocess"), ("preprocess", "train")]
    without_scores = load_settings(plan.config, ["score=null"])
    assert dag_tasks.task_names(without_scores, "run") == ("check", "preprocess", "train")
    with pytest.raises(SettingsError, match="add what is to be scored, or build the DAG with command='run'"):
        dag_tasks.task_names(without_scores, "score")


def test_what_means_something_else_to_airflow_is_refused() -> None:
    for cron in ("0 6 * * 1-5", "0 6 1,15 * 1", "0 6 */2 * *"):
        assert dag_tasks.cron_of(Schedule(cron=cron)) == cron
    for cron, reason in (("30 0 6 * * *", "at whole minutes"), ("0 6 */2 * 1", "both day fields to fit and Airflow")):
        with pytest.raises(SettingsError, match=reason):
            dag_tasks.cron_of(Schedule(cron=cron))
    dag_tasks.refuse_relative("/srv/c.yaml", "s3://bucket/runs")
    for config, run_dir, key in (("c.yaml", "/srv/runs", "config"), ("/srv/c.yaml", "runs", "run_dir")):
        with pytest.raises(SettingsError, match=f"{key}: found .*, which hangs on the folder that a worker runs in"):
            dag_tasks.refuse_relative(config, run_dir)


def test_the_first_task_tells_settings_that_are_wrong_by_its_exit_code(
    plan: Plan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "mapring.zip"
    words = ["--archive", str(archive), "--config", plan.config]
    assert dag_check.main(words) == 2
    assert "run `make dist`" in capfd.readouterr().err
    archive.write_bytes(b"older code")
    assert dag_check.main(words) == 2
    assert "found other code than that of" in capfd.readouterr().err
    write_archive(archive)
    assert dag_check.main(words) == 0
    told = capfd.readouterr()
    assert json.loads(told.out.splitlines()[-1])["preprocess"]["spark.driver.memory"].endswith("m")
    assert "preprocess: has something to do" in told.err
    (tmp_path / "unseen.txt").unlink()
    assert dag_check.main(words) == 2
    assert "score.inputs.0.path: found no file" in capfd.readouterr().err


def test_the_example_compiles_and_uses_what_is_there() -> None:
    """Airflow is not installed here, so neither module can be imported: names are held against each other."""
    example = ast.parse((ROOT / "docs/airflow_example.py").read_text())
    imported = [node for node in ast.walk(example) if isinstance(node, ast.ImportFrom)]
    assert [(node.module, [name.name for name in node.names]) for node in imported] == [
        ("pipelines.airflow_dag", ["mapring_dag"])
    ]
    module = ast.parse((ROOT / "pipelines/airflow_dag.py").read_text())
    factory = next(
        node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == imported[0].names[0].name
    )
    known = {argument.arg for argument in (*factory.args.args, *factory.args.kwonlyargs)}
    calls = [node for node in ast.walk(example) if isinstance(node, ast.Call)]
    assert len(calls) == 1 and {keyword.arg for keyword in calls[0].keywords} <= known
