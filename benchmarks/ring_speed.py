"""The ring's speed: our trainer on two ranks beside DistributedDataParallel, and beside two ranks without a ring.

All take the same batches with the same model, arithmetic and optimizer, one thread a rank, in turn. Ours is the command
that users run, reader, curves and all; the peer finds its batches in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.corpus import FOLDER
from benchmarks.intervals import Ratio, Seconds, speed_ratio
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import (
    LOGS,
    RANKS,
    ROOT,
    base_model,
    forget_training,
    native_precision,
    our_environment,
    padded_batches,
    reader_of,
    sentences,
)
from mapring.contract import read_manifest
from mapring.plan import Plan, make_plan
from pipelines.stages import stage_command

_ROUNDS = 4
_WARM_UP = 4  # steps: the memory of the allocators and DDP's buckets take their final form
_PEER = f"torch {torch.__version__.partition('+')[0]} DistributedDataParallel, gloo"
_OUTPUT = FOLDER / "training"


class _Run(NamedTuple):
    """Seconds of each timed step, and the share of each that waited for a batch (ours only)."""

    seconds: Seconds
    reader_shares: list[float]


def ring_figures() -> list[Figure]:
    """Interleaved rounds of four: Horovod's Gloo, DistributedDataParallel, Horovod's MPI, two ranks without a ring."""
    # 64 rows a rank are 1,700 tokens: no large batch; reviews and tweets would only make more steps of the same kind.
    plan = sentences("ring-speed", ["tweets"], test=0.02, global_batch=64 * RANKS, precision=native_precision())
    batches = _OUTPUT / "ring-speed-batches"
    padded_batches(plan, pad_token_id=0, target=batches)
    ways: dict[str, Callable[[], _Run]] = {
        "gloo": lambda: _ours(plan, "horovodrun"),
        "ddp": lambda: _ddp(plan, batches),
        "mpi": lambda: _ours(plan, "mpirun"),
        "alone": lambda: _alone(plan),
    }
    rounds = [{name: way() for name, way in ways.items()} for _ in range(_ROUNDS)]
    seconds = {name: [found[name].seconds for found in rounds] for name in ways}
    by_ddp = {name: speed_ratio(seconds[name], seconds["ddp"]) for name in ("gloo", "mpi")}
    by_ceiling = {name: speed_ratio(seconds[name], seconds["alone"]) for name in ("gloo", "mpi")}
    best = max(by_ddp, key=lambda name: by_ddp[name].median)
    rows = _timed_rows(plan)
    shares = [share for found in rounds for share in found[best].reader_shares]

    def rate(name: str) -> float:
        return statistics.median(rows / float(run.sum()) for run in seconds[name])

    return [
        *_with_bound("ring_vs_ddp", by_ddp[best], 1.0, _PEER),
        *_with_bound("ring_gloo_vs_ddp", by_ddp["gloo"], 1.0, _PEER),
        *_with_bound("ring_mpi_vs_ddp", by_ddp["mpi"], 1.0, _PEER),
        *_with_bound("ring_vs_ceiling", by_ceiling[best], 0.95, "two ranks without a ring"),
        figure("ring_samples_per_second", rate(best), rate("ddp"), "rows/s", peer=_PEER),
        figure("ddp_samples_per_second", rate("ddp"), rate("ddp"), "rows/s", peer=_PEER),
        figure("reader_share_of_step", statistics.fmean(shares), 0.02, "share", better="lower"),
    ]


def _with_bound(name: str, ratio: Ratio, goal: float, peer: str) -> list[Figure]:
    return [
        figure(name, ratio.median, goal, "ratio", peer=peer),
        figure(f"{name}_lower95", ratio.lower95, goal, "ratio", peer=peer),
    ]


def _timed_rows(plan: Plan) -> int:
    """Rows over all ranks in the steps that are timed."""
    order = reader_of(plan, 0, RANKS).order
    return sum(order.global_rows(step) for step in range(_WARM_UP, order.steps))


def _ours(plan: Plan, launcher: str) -> _Run:
    """The trainer as `mapring train` starts it."""
    chosen = make_plan(plan.config, [f"ring.launcher={launcher}", f"ring.ranks={RANKS}"])
    forget_training(chosen)
    command = stage_command("train", chosen, Path("unused"))
    environment = {**command.environment, **our_environment()}
    run(command.words, log=LOGS / f"ring-{launcher}.log", cwd=ROOT, environment=environment)
    return _curves(chosen.training_directory)


def _curves(training_directory: str) -> _Run:
    """From the end of one step to the end of the next, by the clock of the curves: all that the loop does is in it."""
    events = EventAccumulator(str(Path(training_directory, "tensorboard"))).Reload()
    ends = np.array([event.wall_time for event in events.Scalars("train/seconds")])
    lines = Path(training_directory, "metrics.jsonl").read_text().splitlines()
    shares = [float(json.loads(line)["reader_share"]) for line in lines]
    return _Run(np.diff(ends)[_WARM_UP - 1 :], shares[_WARM_UP:])


def _ddp(plan: Plan, batches: Path) -> _Run:
    train, output = plan.settings.train, _OUTPUT / "ddp.json"
    classes = str(len(read_manifest(plan.shards_directory).details["labels"]))
    script = str(ROOT / "benchmarks/peers/ddp_training.py")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS), script]
    words += [base_model(plan), str(batches), classes, train.model_dump_json(), str(output)]
    run(words, log=LOGS / "ring-ddp.log", cwd=ROOT, environment=our_environment())
    return _Run(np.array(json.loads(output.read_text())["seconds"])[_WARM_UP:], [])


def _alone(plan: Plan) -> _Run:
    """Two ranks side by side, each for itself; a step takes what it takes on average of both.

    The sum of two speeds is compared with a speed over all rows, so the harmonic mean of the two times is right.
    """
    places = [_OUTPUT / f"alone-{rank}" for rank in range(RANKS)]
    started = []
    for rank, place in enumerate(places):
        shutil.rmtree(place, ignore_errors=True)
        words = [sys.executable, "-m", "benchmarks.lone_rank", plan.config, str(rank), str(place)]
        started.append((words, _start(words, LOGS / f"ring-alone-{rank}.log")))
    for words, process in started:
        if process.wait():
            raise RuntimeError(f"{' '.join(words)}: exit code {process.returncode}; see {LOGS}")
    found = [_curves(str(next(place.glob("training/*")))).seconds for place in places]
    return _Run(RANKS / np.sum([1 / seconds for seconds in found], axis=0), [])


def _start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as sink:
        return subprocess.Popen(
            words, stdout=sink, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **our_environment()}
        )
