"""The cluster form: spark-submit on separate executor processes, from another directory, with our archive only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pyarrow as pa
import pyspark
import pytest
from deltalake import DeltaTable

from mapring.contract import read_manifest
from mapring.contract.verify import verify
from mapring.plan import make_plan
from mapring.scores.verify import verify_scores
from pipelines.archive import write_archive
from pipelines.stages import SHORT_LIVED_JVM
from spark_jobs.preprocess import preprocess
from tests.tiny import write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.slow  # six JVMs, and executors that begin with nothing
JOBS = Path(__file__).resolve().parents[2] / "spark_jobs"
QUICK_START = " ".join(SHORT_LIVED_JVM)  # there are six JVMs of a few seconds: 64 s in place of 83


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has all the libraries and nothing of ours: path files of a path file's folder are not read."""
    root = tmp_path_factory.mktemp("bare")
    venv.create(root, symlinks=True)
    packages = next(root.glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = root / "bin" / "python"
    code = "import pyspark, torch, importlib.util as u; print([u.find_spec(n) for n in ('mapring', 'spark_jobs')])"
    found = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd="/", check=True, env=clean_environment()
    )
    assert found.stdout.strip() == "[None, None]"
    return python


def clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SPARK_HOME")}


def events(cwd: Path) -> Path:
    folder = cwd / "events"
    folder.mkdir(exist_ok=True)
    return folder


def ran_on(cwd: Path) -> set[str]:
    """Executors that tasks of all applications so far ended on; Spark's local mode has one of the name driver."""
    told = [
        json.loads(line) for path in events(cwd).rglob("events_*") for line in path.read_text().splitlines() if line
    ]
    return {event["Task Info"]["Executor ID"] for event in told if event["Event"] == "SparkListenerTaskEnd"}


def submit(python: Path, job: Path, archive: Path, config: str, cwd: Path) -> str:
    environment = {
        **clean_environment(),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
    }
    words = [
        "spark-submit",
        "--master",
        "local-cluster[2,1,1024]",
        *("--conf", "spark.eventLog.enabled=true", "--conf", "spark.eventLog.compress=false"),
        *("--conf", f"spark.eventLog.dir={events(cwd).as_uri()}"),
        *("--driver-java-options", QUICK_START),
        *("--conf", f"spark.executor.extraJavaOptions={QUICK_START}"),
        "--py-files",
        str(archive),
        str(job),
        "--config",
        config,
    ]
    words[0] = str(Path(sys.executable).parent / words[0])
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def test_both_jobs_run_on_executors_that_have_nothing_of_ours(bare_python: Path, tmp_path: Path) -> None:
    config, expected = write_world(tmp_path)
    archive = write_archive(tmp_path / "mapring.zip")
    jobs = tmp_path / "jobs"  # the scripts alone, so that no folder of ours is beside them
    jobs.mkdir()
    for name in ("preprocess.py", "score.py"):
        (jobs / name).write_bytes((JOBS / name).read_bytes())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    plan = make_plan(config)

    submit(bare_python, jobs / "preprocess.py", archive, config, elsewhere)
    manifest = read_manifest(plan.shards_directory)
    assert manifest.details["counts"]["read"] == expected["read"]
    assert verify(plan.shards_directory) == []

    publish_tiny_model(plan.model_directory, tmp_path / "tokenizer", plan.model)
    submit(bare_python, jobs / "score.py", archive, config, elsewhere)
    assert pa.table(DeltaTable(plan.run.scores).to_pyarrow_table()).num_rows == 2
    assert verify_scores(plan.run.scores) == []
    assert ran_on(elsewhere) == {"0", "1"}, "what spark-submit is told comes before the settings"

    local = make_plan(config, [f"run_dir={tmp_path / 'local'}"])
    preprocess(local)
    assert read_manifest(local.shards_directory).files == manifest.files, "the cluster's bytes are the laptop's"
