"""Where a case of the table works, how it starts a training, and what must have come of it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import psutil

from mapring import contract
from mapring.contract.verify import verify
from mapring.plan import Plan
from tests.training.running import metrics
from tests.training.shards import Document, tiny_model
from tests.training.tiny_plan import LABELS, WORDS, made_documents, publish_shards, tiny_plan
from training import train
from training.reader import ShardReader
from training.sample_log import read_samples

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
RANKS = {
    "horovodrun": [str(BIN / "horovodrun"), "-np", "2", sys.executable, "-m"],
    "mpirun": [str(BIN / "mpirun"), "-np", "2", "--oversubscribe", sys.executable, "-m"],
    "torchrun": [str(BIN / "torchrun"), "--nproc-per-node", "2", "--master-port", "29632", "-m"],
}
SHORT = ("train.epochs=2", "train.log_samples=true", "train.baselines=false")  # 14 steps of 106 rows
END_SECONDS = 60  # in which all ranks have ended after a fault, at the latest
_MOST_SECONDS = 400


class Ended(NamedTuple):
    """The exit code of a training and what it said."""

    code: int
    said: str

    @property
    def errors(self) -> list[str]:
        """Lines that tell an error, without what launchers put before them."""
        return [line[line.index("error: ") :] for line in self.said.splitlines() if "error: " in line]


@dataclass(frozen=True)
class Ground:
    """`shared` is one folder for all cases of a run of the table, `own` an empty one of this case alone."""

    shared: Path
    own: Path

    @property
    def base_model(self) -> Path:
        """A tiny BERT with its tokenizer, made by the first case that asks."""
        folder = self.shared / "base"
        return folder if folder.exists() else tiny_model(folder, WORDS)

    def plan(
        self,
        *overrides: str,
        documents: Sequence[Document] | dict[str, list[Document]] | None = None,
        labels: Sequence[str] = LABELS,
    ) -> Plan:
        """A short training below `own`, whose shards are published."""
        return _plan(self.own, self.base_model, overrides, documents, labels)

    def undisturbed(self, *overrides: str, ranks: int = 1) -> Plan:
        """The same training of the usual documents, published in peace by the first case that asks."""
        folder = self.shared / "-".join(["undisturbed", str(ranks), *(word.replace("=", "-") for word in overrides)])
        folder.mkdir(parents=True, exist_ok=True)
        plan = _plan(folder, self.base_model, overrides)
        if not contract.is_published(plan.model_directory):
            ended = in_process(plan) if ranks == 1 else finish(start(plan))
            assert ended.code == 0, ended.said
        return plan


def _plan(
    folder: Path,
    base_model: Path,
    overrides: Sequence[str],
    documents: Sequence[Document] | dict[str, list[Document]] | None = None,
    labels: Sequence[str] = LABELS,
) -> Plan:
    plan = tiny_plan(folder, base_model, *SHORT, *overrides)
    publish_shards(plan, base_model, made_documents(150) if documents is None else documents, labels)
    return plan


def in_process(plan: Plan, fault: AbstractContextManager[Any] | None = None) -> Ended:
    """One rank in this process, inside of a planted fault; with a stand-in for the ONNX export, which takes seconds."""
    handler, said = signal.getsignal(signal.SIGTERM), io.StringIO()
    try:
        with (
            contextlib.redirect_stderr(said),
            mock.patch("training.export.export_onnx", lambda *_: b"onnx"),
            mock.patch("mapring.storage.os.fsync"),  # no case here loses the power
            mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}),
            fault or contextlib.nullcontext(),
        ):
            code = train.main(["--config", plan.config, *plan.overrides])
    finally:
        signal.signal(signal.SIGTERM, handler)
    return Ended(code, said.getvalue())


def start_command(plan: Plan) -> subprocess.Popen[str]:
    """`mapring train`, which starts the ranks."""
    command = [sys.executable, "-m", "pipelines.cli", "train", plan.config, *plan.overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def start(
    plan: Plan, launcher: str = "horovodrun", module: Sequence[str] = ("training.train",)
) -> subprocess.Popen[str]:
    """Two ranks, as a user starts them."""
    command = [*RANKS[launcher], *module, "--config", plan.config, *plan.overrides]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **allowed, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end; a job that has none is killed, with its ranks, and has failed."""
    below = psutil.Process(process.pid)
    try:
        said, _ = process.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        for child in [*below.children(recursive=True), below]:
            child.kill()
        raise AssertionError(f"still running after {_MOST_SECONDS} s: {process.communicate()[0]}") from None
    return Ended(process.returncode, said)


def ranks_of(plan: Plan) -> dict[int, psutil.Process]:
    """The training processes of a plan that still run, by rank."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment, words = process.environ(), process.cmdline()
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        rank = environment.get("HOROVOD_RANK", environment.get("OMPI_COMM_WORLD_RANK", environment.get("RANK")))
        if rank is not None and alive and words[0] == sys.executable and plan.config in words:
            found[int(rank)] = process
    return found


def wait_for_steps(plan: Plan, process: subprocess.Popen[str], steps: int) -> None:
    """Return once that many lines of metrics stand there (they come in twenties)."""
    file, deadline = Path(plan.training_directory, "metrics.jsonl"), time.monotonic() + _MOST_SECONDS
    while not file.exists() or len(file.read_bytes().splitlines()) < steps:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.1)


def assert_clear_error(ended: Ended, *said: str, code: int = 1) -> None:
    """One line for the user that says all this, once, without a stack trace."""
    assert ended.code == code, ended.said
    assert len(ended.errors) == 1 and all(part in ended.errors[0] for part in said), ended.said
    assert "Traceback" not in ended.said, ended.said


def assert_as_undisturbed(plan: Plan, undisturbed: Plan, most_rolled_back: int | None = None) -> None:
    """The model has the bytes of a run in peace, and so have the losses; each row was used once an epoch.

    `most_rolled_back` is how many steps a start may have taken back, those between two checkpoints unless told.
    """
    for directory in (plan.model_directory, undisturbed.model_directory):
        assert verify(directory) == []
    ours, theirs = (contract.read_manifest(each.model_directory).details for each in (plan, undisturbed))
    assert ours["transformers"] == theirs["transformers"] and ours["steps"] == theirs["steps"]
    losses = [[(line["step"], line["loss"]) for line in metrics(each)] for each in (plan, undisturbed)]
    assert losses[0] == losses[1]
    assert_exactly_once(plan, most_rolled_back)


def assert_exactly_once(plan: Plan, most_rolled_back: int | None = None) -> None:
    """Every training row once an epoch, but for what starts rolled back: the steps after a checkpoint, no more."""
    samples = read_samples(plan.training_directory)
    rows = Counter(doc_id for batch in ShardReader(plan.shards_directory, "train").rows() for doc_id in batch.doc_ids)
    epochs = [Counter[str]() for _ in range(plan.settings.train.epochs)]
    for step in samples.steps.values():
        epochs[step.epoch].update(step.doc_ids)
    assert epochs == [rows] * plan.settings.train.epochs
    every = plan.settings.train.checkpoint_every_steps
    for undone in filter(None, samples.rolled_back):
        assert undone == list(range(undone[0], undone[-1] + 1)) and (undone[0] - 1) % every == 0
        assert len(undone) <= (every if most_rolled_back is None else most_rolled_back)
