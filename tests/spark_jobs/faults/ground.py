"""Where a case of the table works, how it starts the real job, and what it finds afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from mapring.contract import canonical_json, read_manifest
from mapring.contract.verify import verify
from mapring.plan import Plan, make_plan
from tests.spark_jobs.faults.corpus import write_dirty_world

MAPRING = str(Path(sys.executable).parent / "mapring")
PLANT = Path(__file__).parent / "plant"
CLUSTER = "spark.master=local-cluster[2,1,1024]"
_MOST_SECONDS = 900
_USUAL: dict[str, Any] = {
    "when": "before",
    "where": "task",
    "victim": "self",
    "seconds": 0,
    "share": 1.0,
    "most": 1,
    "first_attempts": 1,
    "match": "",
    "program": "",
}


@dataclass(frozen=True)
class Ground:
    """`shared` is one folder for all cases of a run of the table, `own` an empty one of this case alone."""

    shared: Path
    own: Path

    def plan(self, *overrides: str) -> Plan:
        """The dirty corpus to be published below `own`."""
        return make_plan(write_dirty_world(self.shared), [f"run_dir={self.own / 'run'}", *overrides])

    def undisturbed(self) -> Plan:
        """The dirty corpus, published in peace by the first case that asks."""
        from spark_jobs.preprocess import preprocess

        plan = make_plan(write_dirty_world(self.shared))
        preprocess(plan)
        return plan


def run_job(
    plan: Plan, environment: dict[str, str] | None = None, stage: str = "preprocess"
) -> subprocess.CompletedProcess[str]:
    """A stage as a user starts it; one that does not end is told to stop, and stops its processes."""
    command = [MAPRING, stage, plan.config, *plan.overrides]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, error = process.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, error = process.communicate()
        error += f"stopped after {_MOST_SECONDS} s"
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def planted(plan: Plan, **fault: Any) -> dict[str, str] | None:
    """The environment that plants a fault in every Python process of a job (see plant/); ours where there is none."""
    if not fault:
        return None
    folder = faults_of(plan)
    folder.mkdir(parents=True)
    path = [str(PLANT), *filter(None, [os.environ.get("PYTHONPATH")])]
    described = json.dumps({**_USUAL, "folder": str(folder), **fault})
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "FAULT": described}


def faults_of(plan: Plan) -> Path:
    """The folder where planted code says what it did."""
    return Path(plan.run.root).with_suffix(".faults")


def faults_done(plan: Plan) -> int:
    """How many faults really happened."""
    return len(list(faults_of(plan).glob("fault-*")))


def processes_of(config: str) -> list[int]:
    """Processes, besides this one, whose command line names a pipeline."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and config in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def published_bytes(plan: Plan) -> dict[str, str]:
    """SHA-256 of every published file as it stands there, by its path; and of what the manifest says of them all."""
    manifest = read_manifest(plan.shards_directory)
    found = {
        entry.path: hashlib.sha256(Path(plan.shards_directory, entry.path).read_bytes()).hexdigest()
        for entry in manifest.files
    }
    return {**found, "details": hashlib.sha256(canonical_json(manifest.details)).hexdigest()}


def rows_of(plan: Plan, folder: str, source: str) -> list[dict[str, Any]]:
    """Rows of one input in the published tables of `data` or `drops`."""
    entries = read_manifest(plan.shards_directory).files_below(folder)
    tables = [pq.read_table(Path(plan.shards_directory, entry.path)) for entry in entries]
    return [row for table in tables for row in table.to_pylist() if row["source"] == source]


def assert_identical(plan: Plan, undisturbed: Plan) -> None:
    """What is published is sound, and to the byte what a run in peace publishes."""
    assert verify(plan.shards_directory) == []
    assert published_bytes(plan) == published_bytes(undisturbed)


def assert_clear_error(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """It failed with an error for users that says all this, without a stack trace."""
    assert done.returncode == 1, done.stderr
    error = done.stderr[done.stderr.index("error: ") :]
    assert all(part in error for part in (*said, "run the same command again")), error
    assert "Traceback" not in done.stderr and "\tat " not in done.stderr, done.stderr
