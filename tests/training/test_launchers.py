"""Real rings of two processes: each launcher trains the same model, and a killed rank loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mapring import contract
from mapring.contract.verify import verify
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import metrics

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LAUNCHERS = {
    "horovodrun": [str(BIN / "horovodrun"), "-np", "2", sys.executable, "-m"],
    "mpirun": [str(BIN / "mpirun"), "-np", "2", "--oversubscribe", sys.executable, "-m"],
    "torchrun": [str(BIN / "torchrun"), "--nproc-per-node", "2", "--master-port", "29631", "-m"],
}
LONG = ("train.epochs=60", "train.checkpoint_every_steps=20", "train.baselines=false")  # 900 steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def start(launcher: str, plan: Plan) -> subprocess.Popen[str]:
    command = [*LAUNCHERS[launcher], "training.train", "--config", plan.config, *plan.overrides]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **allowed, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said


def ranks_of(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """The training processes below a launcher, by rank."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            environment, words = child.environ(), child.cmdline()
        except psutil.Error:
            continue
        rank = environment.get("HOROVOD_RANK", environment.get("OMPI_COMM_WORLD_RANK", environment.get("RANK")))
        if rank is not None and words[:2] == [sys.executable, "-m"] and words[2] == "training.train":
            found[int(rank)] = child
    return found


def wait_for_steps(plan: Plan, process: subprocess.Popen[str], steps: int) -> None:
    file = Path(plan.training_directory, "metrics.jsonl")
    deadline = time.monotonic() + 90
    while not file.exists() or len(file.read_bytes().splitlines()) < steps:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.1)


def published_transformers(plan: Plan) -> str:
    """Name of the model's transformers directory, which its bytes determine."""
    assert verify(plan.model_directory) == []
    return str(contract.read_manifest(plan.model_directory).details["transformers"])


def test_all_launchers_train_the_same_model_bit_for_bit(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    names = {}
    for launcher in LAUNCHERS:
        plan = make_tiny_plan(f"run_dir={tmp_path}/{launcher}")
        code, said = finish(start(launcher, plan))
        assert code == 0, said
        assert "2 ranks" in said and "accuracy" in said
        assert contract.read_manifest(plan.model_directory).details["world_size"] == 2
        names[launcher] = published_transformers(plan)
        code, said = finish(start(launcher, plan))
        assert code == 0 and "already published" in said
    assert len(set(names.values())) == 1, names


@pytest.mark.parametrize("launcher", ["horovodrun", "mpirun"])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_and_a_new_start_ends_where_it_would_have(
    make_tiny_plan: PlanMaker, tmp_path: Path, launcher: str, victim: int
) -> None:
    plan = make_tiny_plan(*LONG, f"run_dir={tmp_path}/killed")
    process = start(launcher, plan)
    wait_for_steps(plan, process, 60)
    ranks = ranks_of(process)
    assert sorted(ranks) == [0, 1]
    ranks[victim].send_signal(signal.SIGKILL)
    code, said = finish(process, seconds=60)
    assert code != 0, said
    assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks.values())
    assert not contract.is_published(plan.model_directory)

    code, said = finish(start(launcher, plan))
    assert code == 0, said
    assert "going on from the checkpoint of step" in said
    assert [line["step"] for line in metrics(plan)] == list(range(1, 901))

    straight = make_tiny_plan(*LONG, f"run_dir={tmp_path}/straight")
    code, said = finish(start(launcher, straight))
    assert code == 0, said
    assert published_transformers(plan) == published_transformers(straight)


@pytest.mark.parametrize("launcher", ["horovodrun", "mpirun"])
def test_sigterm_to_one_rank_stops_all_after_a_checkpoint(make_tiny_plan: PlanMaker, launcher: str) -> None:
    plan = make_tiny_plan(*LONG)
    process = start(launcher, plan)
    wait_for_steps(plan, process, 40)
    ranks_of(process)[1].send_signal(signal.SIGTERM)
    code, said = finish(process, seconds=60)
    assert code != 0
    assert "stopped as asked after step" in said
    steps = [path.name for path in Path(plan.training_directory, "checkpoints").iterdir()]
    assert any(int(name.partition("-")[2]) % 20 for name in steps), steps  # not one of the regular ones


@pytest.mark.parametrize("launcher", ["horovodrun", "mpirun"])
def test_an_error_ends_all_ranks_and_is_told_once(make_tiny_plan: PlanMaker, launcher: str) -> None:
    plan = make_tiny_plan(shards=False)
    code, said = finish(start(launcher, plan), seconds=60)
    assert code != 0
    assert said.count("error: ") == 1 and "found no published shards" in said
    assert "Error\n" not in said.replace("RuntimeError: Horovod detected", "")
