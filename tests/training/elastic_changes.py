"""A real elastic job on this machine whose ranks come and go: two join, one is killed, one is let go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mapring import contract
from mapring.plan import Plan
from mapring.progress import say
from tests.training.running import metrics
from training.reader import ShardReader
from training.sample_log import read_samples

ROOT = Path(__file__).parents[2]
OVERRIDES = ("train.log_samples=true", "train.epochs=200", "train.checkpoint_every_steps=25", "train.baselines=false")
SECONDS = 120  # for a change to show; a rank needs 5 to 20 to start on a busy machine


class ElasticJob:
    """horovodrun with a discovery script that prints the file `hosts`. A killed rank's host is not used again."""

    def __init__(self, plan: Plan, folder: Path, hosts: dict[str, int]) -> None:
        self.plan, self._hosts, self._log = plan, folder / "hosts", folder / "elastic.log"
        script = folder / "discover.sh"
        script.write_text(f"#!/bin/sh\ncat {self._hosts}\n")
        script.chmod(0o755)
        self.set_hosts(hosts)
        horovodrun = str(Path(sys.executable).with_name("horovodrun"))
        sizes = ("-np", str(sum(hosts.values())), "--min-np", "1", "--max-np", "4")
        train = (sys.executable, "-m", "training.train", "--config", plan.config, *plan.overrides)
        with self._log.open("w") as sink:
            self.process = subprocess.Popen(
                [horovodrun, *sizes, "--host-discovery-script", str(script), *train],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """All that launcher and ranks have printed."""
        return self._log.read_text()

    def set_hosts(self, hosts: dict[str, int]) -> None:
        """Hosts and their slots, as the next look finds them; never half of them."""
        fresh = self._hosts.with_suffix(".new")
        fresh.write_text("".join(f"{host}:{slots}\n" for host, slots in hosts.items()))
        fresh.replace(self._hosts)

    def steps(self) -> int:
        """Steps in the metrics of the present ring."""
        file = Path(self.plan.training_directory, "metrics.jsonl")
        return len(file.read_bytes().splitlines()) if file.exists() else 0

    def kill_a_rank_of(self, host: str) -> None:
        """SIGKILL to one training process that the launcher has started for a host."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                words, name = child.cmdline(), child.environ().get("HOROVOD_HOSTNAME")
            except psutil.Error:
                continue
            if name == host and words[:3] == [sys.executable, "-m", "training.train"]:
                child.send_signal(signal.SIGKILL)
                return
        raise AssertionError(f"found no rank of {host}:\n{self.said}")

    def wait_until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait for something to become so while the job runs; AssertionError where it does not."""
        deadline = time.monotonic() + SECONDS
        while not is_so():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline, f"no {what} within {SECONDS} s:\n{self.said}"
            time.sleep(0.1)

    def change(self, what: str, ranks: int, act: Callable[[], None]) -> None:
        """Make one change, then wait for a ring of so many ranks and some steps of it."""
        rings = self.said.count(f" {ranks} ranks on ")
        act()
        self.wait_until(what, lambda: self.said.count(f" {ranks} ranks on ") > rings)
        before = self.steps()
        self.wait_until(f"steps after {what}", lambda: self.steps() > before + 10)
        say("elastic", f"{what}: goes on with {ranks} ranks")


@contextmanager
def elastic_job(plan: Plan, folder: Path, hosts: dict[str, int]) -> Iterator[ElasticJob]:
    """A job of which nothing is left running afterwards."""
    job = ElasticJob(plan, folder, hosts)
    try:
        yield job
    finally:
        if job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGTERM)
            try:
                job.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(job.process.pid, signal.SIGKILL)
                job.process.wait()


def elastic_changes_survived(plan: Plan, folder: Path) -> int:
    """Make four changes one after the other, and hold the whole training against its plan; how many it survived.

    Raises:
        AssertionError: a change ended the job, or a row was trained on twice or never.
    """
    own_name = socket.gethostname()  # a third name of this machine that needs no ssh
    with elastic_job(plan, folder, {"localhost": 1, "127.0.0.1": 1}) as job:
        job.wait_until("the first steps", lambda: job.steps() > 10)
        job.change("a rank joins", 3, lambda: job.set_hosts({"localhost": 2, "127.0.0.1": 1}))
        job.change("a killed rank 0", 2, lambda: job.kill_a_rank_of("127.0.0.1"))
        job.change("a host joins", 3, lambda: job.set_hosts({"localhost": 2, own_name: 1}))
        job.change("a rank is let go", 2, lambda: job.set_hosts({"localhost": 1, own_name: 1}))
        code = job.process.wait(4 * SECONDS)  # some thousand steps, on whatever machine
        assert code == 0, job.said
    assert contract.is_published(plan.model_directory)
    check_exactly_once(plan)
    return 4


def check_exactly_once(plan: Plan) -> None:
    """Every step was trained on the rows that the order of batches says, and no step is missing or twice."""
    settings = plan.settings.train
    reader = ShardReader(
        plan.shards_directory, "train", seed=plan.settings.seed,
        global_batch=settings.global_batch, shuffle_window=settings.shuffle_window,
    )  # fmt: skip
    planned = [sorted(batch.doc_ids) for epoch in range(settings.epochs) for batch in reader.epoch(epoch)]
    steps = read_samples(plan.training_directory).steps
    assert sorted(steps) == list(range(1, len(planned) + 1))
    assert [steps[number].doc_ids for number in sorted(steps)] == planned
    assert [line["step"] for line in metrics(plan)] == sorted(steps)
