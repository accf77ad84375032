"""Speculation: two attempts at one task at the same time, on a cluster of two hosts that are both this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.archive import package_directory
from tests.spark_jobs.faults.ground import Ground, assert_identical, faults_done, faults_of, planted, run_job

_HOSTS = ("127.0.0.1", "127.0.0.2")  # Spark overtakes no task on its own host, so local-cluster never speculates
_DEPLOY = "org.apache.spark.deploy"
_UP = (b"I have been elected leader", b"Successfully registered with master")


def speculation(ground: Ground) -> None:
    """A task that hangs after writing is overtaken by a second attempt, which writes the same file again."""
    spark = package_directory("pyspark")
    with socket.socket() as free:
        free.bind((_HOSTS[0], 0))
        port = free.getsockname()[1]
    conf = {
        "speculation": "true",
        "speculation.interval": "100ms",
        "speculation.multiplier": "1.1",
        "speculation.quantile": "0.1",
        "speculation.minTaskRuntime": "100ms",
        "driver.host": _HOSTS[0],
        "executor.memory": "1g",
    }
    words = [f"spark.conf.spark.{key}={value}" for key, value in conf.items()]
    plan = ground.plan(f"spark.master=spark://{_HOSTS[0]}:{port}", *words)
    point = "mapring.contract.publish:write_file"
    # Three, for shards and ledger are written at the same time, and a task alone in its stage is never overtaken.
    environment = planted(plan, point=point, when="after", victim="none", seconds=60, most=3)
    assert environment is not None
    environment["SPARK_HOME"] = str(spark)
    master = [f"{_DEPLOY}.master.Master", "--host", _HOSTS[0], "--port", str(port), "--webui-port", "0"]
    with ExitStack() as started:
        started.enter_context(_process(spark, master, environment, ground.own / "master.log"))
        for host in _HOSTS:
            place = ["--host", host, "--webui-port", "0", "--work-dir", str(ground.own / host)]
            worker = [f"{_DEPLOY}.worker.Worker", *place, "--cores", "2", "--memory", "1g", plan.settings.spark.master]
            started.enter_context(_process(spark, worker, environment, ground.own / f"{host}.log"))
        done = run_job(plan, environment)
    assert done.returncode == 0, done.stderr
    attempts = {path.name for path in faults_of(plan).iterdir()}
    again = [name for name in attempts if name.endswith("-1") and name[:-1] + "0" in attempts]
    assert faults_done(plan) == 3 and again, "no task was overtaken while it hung"
    assert_identical(plan, ground.undisturbed())


@contextmanager
def _process(spark: Path, words: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A daemon of Spark's, with its output in a log, from when it is up until the body ends."""
    with log.open("wb") as sink:
        command = [str(spark / "bin" / "spark-class"), *words]
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sink, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 120
            while not any(sign in (said := log.read_bytes()) for sign in _UP):
                assert process.poll() is None and time.monotonic() < deadline, said.decode(errors="replace")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(60)
