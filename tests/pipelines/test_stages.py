"""Stages: the commands are those that a user types on a cluster, and a published stage is not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapring import machine
from mapring.contract import publish
from mapring.plan import Plan, make_plan
from pipelines import launch, stages
from pipelines.archive import archive_bytes
from pipelines.launch import last_checkpoint, run_stage
from pipelines.stages import published, stage_command
from tests.mapring.test_contract import make_shards
from tests.tiny import write_world
from tests.tiny_model import publish_tiny_model


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    config, _ = write_world(tmp_path)
    return make_plan(config, ["spark.conf.spark.task.maxFailures=2", "seed=5"])


def test_spark_stages_are_spark_submit_with_the_archive(plan: Plan) -> None:
    words = list(stage_command("preprocess", plan, Path("a.zip")).words)
    assert Path(words[0]).name == "spark-submit"
    assert words[1:4] == ["--master", "local[2]", "--driver-memory"]
    assert words[words.index("--py-files") + 1] == "a.zip"
    script = words.index("--config") - 1
    assert words[script].endswith("spark_jobs/preprocess.py") and Path(words[script]).is_file()
    assert words[script + 1 :] == ["--config", plan.config, *plan.overrides]
    assert Path(stage_command("score", plan, Path("a.zip")).words[script]).name == "score.py"


def test_the_driver_s_memory_fits_the_machine_unless_it_is_set(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(*overrides: str) -> tuple[str, ...]:
        return stage_command("preprocess", make_plan(plan.config, overrides), Path("a.zip")).words

    for gib, expected in ((64, "2048m"), (4, "1024m")):
        monkeypatch.setattr(machine, "memory_limit", lambda gib=gib: gib << 30)
        assert words()[words().index("--driver-memory") + 1] == expected
    as_set = words("spark.driver_memory=3g")
    assert as_set[as_set.index("--driver-memory") + 1] == "3g"
    by_conf = words("spark.conf.spark.driver.memory=5g")
    assert "--driver-memory" not in by_conf and "spark.driver.memory=5g" in by_conf


def test_a_driver_here_starts_fast_unless_the_settings_say_how(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def options(*overrides: str) -> str | None:
        words = stage_command("score", make_plan(plan.config, overrides), Path("a.zip")).words
        return words[words.index("--driver-java-options") + 1] if "--driver-java-options" in words else None

    archive = Path(plan.config).with_name("classes.jsa")
    monkeypatch.setattr(stages, "CLASS_ARCHIVE", archive)
    assert options() == " ".join(stages.SHORT_LIVED_JVM)
    archive.touch()
    assert f"-XX:SharedArchiveFile={archive}" in str(options())
    assert options("spark.master=spark://host:7077") is None
    assert options("spark.conf.spark.driver.extraJavaOptions=-Xss4m") is None


def test_spark_here_has_the_installed_pyspark_and_one_elsewhere_its_own(plan: Plan, tmp_path: Path) -> None:
    environment = stage_command("score", plan, Path("a.zip")).environment
    there = stage_command("score", make_plan(plan.config, ["spark.master=spark://host:7077"]), Path("a.zip"))
    assert there.environment["PYSPARK_PYTHON"] == sys.executable
    zips = [f"{environment['MAPRING_SPARK']}/python/lib/{name}" for name in ("pyspark.zip", "py4j-0.10-src.zip")]
    assert Path(zips[0]).is_file()  # as Spark has it: else this would show nothing
    own = ["/opt/spark/python/lib/pyspark.zip", str(tmp_path)]  # another Spark's stays before the installed one
    for given, expected in ([*zips, *own], own), ([*own, *zips], own), (zips, []):
        ran = subprocess.run(
            [environment["PYSPARK_PYTHON"], "-c", "import os, sys; print(sys.executable, os.environ['PYTHONPATH'])"],
            env={**os.environ, **environment, "PYTHONPATH": ":".join(given)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.strip().split(" ") == f"{sys.executable} {':'.join(expected)}".strip().split(" ")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ["horovodrun", "--gloo", "-np", "2"]),
        (["ring.ranks=4", "ring.hosts='a:2,b:2'"], ["horovodrun", "--gloo", "-np", "4", "-H", "a:2,b:2"]),
        (["ring.launcher=mpirun"], ["mpirun", "-np", "2", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]),
        (["ring.ranks=1"], []),
        (
            ["ring.max_ranks=4", "ring.discovery_script=./hosts.sh"],
            [
                "horovodrun",
                "--gloo",
                "-np",
                "2",
                "--min-np",
                "1",
                "--max-np",
                "4",
                "--host-discovery-script",
                "./hosts.sh",
            ],
        ),
    ],
)
def test_the_ring_is_started_by_its_launcher(plan: Plan, overrides: list[str], expected: list[str]) -> None:
    other = make_plan(plan.config, overrides)
    command = stage_command("train", other, Path("a.zip"))
    words = [Path(command.words[0]).name if expected else command.words[0], *command.words[1:]]
    assert words[: len(expected)] == expected
    assert words[len(expected) + 1 :] == ["-m", "training.train", "--config", plan.config, *overrides]
    as_root = "OMPI_ALLOW_RUN_AS_ROOT" in command.environment
    assert as_root == ("mpirun" in expected and os.geteuid() == 0)


def test_a_published_stage_is_skipped_and_said_so(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(launch, "run_process", lambda command, *, stage, **_: started.append(stage))
    assert [published(stage, plan) for stage in ("preprocess", "train", "score")] == [None] * 3
    assert run_stage("preprocess", plan) is True
    publish(plan.shards_directory, make_shards(Path(plan.shards_directory)))
    assert run_stage("preprocess", plan) is False
    assert run_stage("train", plan) is True
    publish_tiny_model(plan.model_directory, tmp_path / "tokenizer", plan.model)
    assert run_stage("train", plan) is False
    assert run_stage("score", plan) is True
    assert started == ["preprocess", "train", "score"]
    assert f"skipped: shards {plan.shards} are already published" in capfd.readouterr().err


def test_a_changed_setting_reruns_what_depends_on_it_and_nothing_else(plan: Plan, tmp_path: Path) -> None:
    scored = (plan.score_sources, plan.score_settings, plan.model)

    def changed(*overrides: str) -> tuple[bool, bool, bool]:
        other = make_plan(plan.config, [*plan.overrides, *overrides])
        return (
            other.shards != plan.shards,
            other.model != plan.model,
            (other.score_sources, other.score_settings, other.model) != scored,
        )

    assert changed("preprocess.max_length=16") == (True, True, True)
    assert changed("preprocess.splits.test=0.3") == (True, True, True)
    assert changed("train.learning_rate=0.1") == (False, True, True)
    assert changed("score.inputs.0.name=other") == (False, False, True)
    assert changed("seed=6") == (True, True, True)
    execution = ["spark.partitions=3", "ring.ranks=1", "preprocess.max_quarantined_share=0.5", "score.batch_tokens=99"]
    execution += ["train.checkpoint_every_steps=7", f"run_dir={tmp_path / 'elsewhere'}", "name=other"]
    for override in execution:
        assert changed(override) == (False, False, False), override
    (tmp_path / "unseen.txt").write_text("other text\n")
    assert changed() == (False, False, True)
    (tmp_path / "corpus" / "a.csv").write_text("id,text,label\n1,x,y\n")
    assert changed() == (True, True, True)


def test_the_last_published_checkpoint_is_found(plan: Plan) -> None:
    assert last_checkpoint(plan) is None
    for step, is_published in ((10, True), (200, True), (300, False)):
        folder = Path(plan.training_directory, "checkpoints", f"step-{step:08d}")
        folder.mkdir(parents=True)
        if is_published:
            (folder / "published.json").write_text("{}")
    assert last_checkpoint(plan) == "step-00000200"


def test_the_archive_is_the_same_each_time() -> None:
    assert archive_bytes() == archive_bytes()
