"""The ring's speed: our trainer on two ranks beside DistributedDataParallel, and beside two ranks without a ring.

All take the same batches with the same model, arithmetic and optimizer, one thread a rank, in turns of seconds. Ours is
the command that users run, reader, curves and all; the peer finds its batches in memory.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.corpus import FOLDER
from benchmarks.intervals import Ratio, Seconds, speed_ratio
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
from benchmarks.turns import Contender, seconds_within, take_turns
from mapring.contract import read_manifest
from mapring.plan import Plan, make_plan
from pipelines.stages import stage_command

_ROUNDS = 5  # each with new processes: where their memory lies makes up to a tenth of their speed
_WARM_UP = 4  # steps: the memory of the allocators and DDP's buckets take their final form
_PEER = f"torch {torch.__version__.partition('+')[0]} DistributedDataParallel, gloo"
_OUTPUT = FOLDER / "training"


def ring_figures() -> list[Figure]:
    """Horovod over Gloo, DistributedDataParallel, Horovod over MPI, and two ranks without a ring, in turn."""
    # 64 rows a rank are 1,700 tokens: no large batch; reviews and movies would only make more steps of the same kind.
    plans = {
        launcher: sentences(
            f"ring-speed-{launcher}", ["tweets"], test=0.02, global_batch=64 * RANKS, precision=native_precision()
        )
        for launcher in ("horovodrun", "mpirun")
    }
    batches = _OUTPUT / "ring-speed-batches"
    padded_batches(plans["mpirun"], pad_token_id=0, target=batches)
    order = reader_of(plans["mpirun"], 0, RANKS).order
    rows = np.array([order.global_rows(step) for step in range(_WARM_UP, order.steps)])
    rounds = [_round(plans, batches, order.steps) for _ in range(_ROUNDS)]
    by_ddp = {name: _ratio(rounds, name, "ddp") for name in ("gloo", "mpi")}
    by_ceiling = {name: _ratio(rounds, name, "alone") for name in ("gloo", "mpi")}
    best = max(by_ddp, key=lambda name: by_ddp[name].median)
    shares = _reader_shares(plans["horovodrun" if best == "gloo" else "mpirun"])

    def rate(name: str) -> float:
        return statistics.median(_rate(rows, found[name]) for found in rounds)

    return [
        *_with_bound("ring_vs_ddp", by_ddp[best], 1.0, _PEER),
        *_with_bound("ring_gloo_vs_ddp", by_ddp["gloo"], 1.0, _PEER),
        *_with_bound("ring_mpi_vs_ddp", by_ddp["mpi"], 1.0, _PEER),
        *_with_bound("ring_vs_ceiling", by_ceiling[best], 0.95, "two ranks without a ring"),
        figure("ring_samples_per_second", rate(best), rate("ddp"), "rows/s", peer=_PEER),
        figure("ddp_samples_per_second", rate("ddp"), rate("ddp"), "rows/s", peer=_PEER),
        figure("reader_share_of_step", statistics.fmean(shares), 0.02, "share", better="lower"),
    ]


def _round(plans: Mapping[str, Plan], batches: Path, steps: int) -> dict[str, Seconds]:
    """Seconds of each timed step of each way, not a number where it lay across two turns."""
    output, places = _OUTPUT / "ddp.json", [_OUTPUT / f"alone-{rank}" for rank in range(RANKS)]
    contenders = {
        "gloo": _ours(plans["horovodrun"], "horovodrun", steps),
        "ddp": _ddp(plans["mpirun"], batches, output, steps),
        "mpi": _ours(plans["mpirun"], "mpirun", steps),
        "alone": _alone(plans["mpirun"], places, steps),
    }
    take_turns(list(contenders.values()), ROOT)

    def seconds(name: str, ends: Seconds) -> Seconds:
        return seconds_within(contenders[name].turns, ends)[_WARM_UP - 1 :]

    return {
        "gloo": seconds("gloo", _ends(Path(plans["horovodrun"].training_directory))),
        "ddp": seconds("ddp", np.array(json.loads(output.read_text())["ends"])),
        "mpi": seconds("mpi", _ends(Path(plans["mpirun"].training_directory))),
        "alone": _side_by_side([seconds("alone", _ends(next(place.glob("training/*")))) for place in places]),
    }


def _with_bound(name: str, ratio: Ratio, goal: float, peer: str) -> list[Figure]:
    return [
        figure(name, ratio.median, goal, "ratio", peer=peer),
        figure(f"{name}_lower95", ratio.lower95, goal, "ratio", peer=peer),
    ]


def _ratio(rounds: Sequence[Mapping[str, Seconds]], ours: str, theirs: str) -> Ratio:
    """By the steps that both took within a turn."""
    both = [np.isfinite(found[ours]) & np.isfinite(found[theirs]) for found in rounds]
    return speed_ratio(
        [found[ours][steps] for found, steps in zip(rounds, both, strict=True)],
        [found[theirs][steps] for found, steps in zip(rounds, both, strict=True)],
    )


def _rate(rows: npt.NDArray[np.int64], seconds: Seconds) -> float:
    timed = np.isfinite(seconds)
    return float(rows[timed].sum() / seconds[timed].sum())


def _side_by_side(ranks: list[Seconds]) -> Seconds:
    """What a step takes on average of ranks that each go their own way.

    The sum of their speeds is compared with a speed over all rows, so the harmonic mean of the times is right.
    """
    speeds: Seconds = np.sum([1 / seconds for seconds in ranks], axis=0)
    return len(ranks) / speeds


def _ours(plan: Plan, launcher: str, steps: int) -> Contender:
    """The trainer as `mapring train` starts it."""
    chosen = make_plan(plan.config, [f"ring.launcher={launcher}", f"ring.ranks={RANKS}"])
    forget_training(chosen)
    command = stage_command("train", chosen, Path("unused"))
    environment = {**command.environment, **our_environment()}
    curves = Path(chosen.training_directory, "metrics.jsonl")
    log = LOGS / f"ring-{launcher}.log"
    return Contender([(command.words, log)], environment, lambda: _lines(curves), _WARM_UP, steps)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _ends(training_directory: Path) -> Seconds:
    """When each step ended, by the clock of the curves: all that the loop does lies between two ends."""
    events = EventAccumulator(str(training_directory / "tensorboard")).Reload()
    return np.array([event.wall_time for event in events.Scalars("train/seconds")])


def _reader_shares(plan: Plan) -> list[float]:
    lines = Path(plan.training_directory, "metrics.jsonl").read_text().splitlines()
    return [float(json.loads(line)["reader_share"]) for line in lines[_WARM_UP:]]


def _ddp(plan: Plan, batches: Path, output: Path, steps: int) -> Contender:
    train, log = plan.settings.train, LOGS / "ring-ddp.log"
    classes = str(len(read_manifest(plan.shards_directory).details["labels"]))
    script = str(ROOT / "benchmarks/peers/ddp_training.py")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS), script]
    words += [base_model(plan), str(batches), classes, train.model_dump_json(), str(output)]
    return Contender([(words, log)], our_environment(), lambda: log.read_text().count("step "), _WARM_UP, steps)


def _alone(plan: Plan, places: Sequence[Path], steps: int) -> Contender:
    """Two ranks side by side, each for itself."""
    commands = []
    for rank, place in enumerate(places):
        shutil.rmtree(place, ignore_errors=True)
        words = [sys.executable, "-m", "benchmarks.lone_rank", plan.config, str(rank), str(place)]
        commands.append((words, LOGS / f"ring-alone-{rank}.log"))

    def steps_done() -> int:
        return min(sum(map(_lines, place.glob("training/*/metrics.jsonl"))) for place in places)

    return Contender(commands, our_environment(), steps_done, _WARM_UP, steps)
