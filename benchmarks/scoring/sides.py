"""The sides that are measured, each as a process of its own, and rounds in which they take turns."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpus import FOLDER
from benchmarks.processes import run
from benchmarks.scoring.ground import HOME, IS_TRIAL, LABELLED_ROWS, ROWS, Ground
from benchmarks.scoring.speed import Speed
from benchmarks.sentences import LOGS, ROOT, our_environment

ROUNDS = 1 if IS_TRIAL else 3
CORES = 2
_PARTITIONS = CORES  # 2,048 texts in each; real ones are larger, and the fewer in a task the more padding
_WARM_ROWS = 512
_RAY_BLOCKS = 32  # enough for both actors to end at about the same time
_SLOW_SHARE = 4  # sides that take long get a quarter of the rows
_RAY_PYTHON = FOLDER / "peers" / "ray" / "bin" / "python"


@dataclass(frozen=True)
class Side:
    """A way to score: the words behind `python`, what its job holds besides the common, and where it runs.

    `workers` of it hold a model; `is_worker` tells their processes from others.
    """

    name: str
    words: Sequence[str]
    is_worker: Callable[[psutil.Process], bool]
    job: Mapping[str, Any] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    rows: int = ROWS
    tasks: int = CORES
    threads: int = 1
    answers: int = 0  # rows whose labels are written in the first round, before the warm-up


@dataclass(frozen=True)
class Measured:
    """All runs of all sides, what a side's process has written besides, and the labels of those that give some.

    `answers` are tables of `id`, `label` and `probabilities`, in the order of `id`.
    """

    speeds: Mapping[str, Sequence[Speed]]
    found: Mapping[str, Sequence[Mapping[str, Any]]]
    answers: Mapping[str, pa.Table]


def measure_in_turn(ground: Ground, sides: Sequence[Side], rounds: int = ROUNDS) -> Measured:
    """Run all sides one after the other, several times over, each time in new processes."""
    speeds, found = defaultdict[str, list[Speed]](list), defaultdict[str, list[dict[str, Any]]](list)
    for number in range(rounds):
        for side in sides:
            speed, values = _measure(ground, side, answers=side.answers if number == 0 else 0)
            speeds[side.name].append(speed)
            found[side.name].append(values)
            _say(f"round {number + 1}: {side.name:24} {speed.rows_per_second:8.1f} texts/s")
    return Measured(speeds, found, {side.name: pq.read_table(_answers(side.name)) for side in sides if side.answers})


def ours(ground: Ground, name: str = "mapring", *, arguments: Mapping[str, Any] | None = None, **how: Any) -> Side:
    """`mapring.predict_udf`, with arguments besides the model."""
    job = {"model": ground.model_directory, "arguments": {"probabilities": True, **(arguments or {})}}
    return Side(name, ["-m", "benchmarks.scoring.our_side"], is_python_worker, job, **{"answers": LABELLED_ROWS, **how})


def raw(ground: Ground, backend: str) -> Side:
    """A backend of ours without Spark."""
    job = {"model": ground.model_directory, "backend": backend}
    return Side("raw", ["-m", "benchmarks.scoring.raw_side"], _is_spawned, job)


def in_spark(ground: Ground, variant: str, **how: Any) -> Side:
    """A variant of `benchmarks/peers/spark_scoring.py`."""
    words = ["-m", "benchmarks.peers.spark_scoring", variant]
    return Side(variant, words, is_python_worker, {"stock": ground.stock_directory, "batch": 32}, **how)


def slow_rows() -> int:
    """Rows for sides that take long."""
    return ROWS // _SLOW_SHARE


def on_ray(ground: Ground) -> Side:
    """Ray Data."""
    job = {"stock": ground.stock_directory, "batch": 32, "block_rows": max(32, ROWS // _RAY_BLOCKS)}
    words = ["-m", "benchmarks.peers.ray_scoring"]
    return Side("ray", words, _is_ray_actor, job, python=_RAY_PYTHON, answers=ROWS)


def is_python_worker(process: psutil.Process) -> bool:
    """Whether a process is a Python worker of Spark; the daemon that it was forked from is none."""
    words = process.cmdline()
    parent = process.parent()
    return "pyspark.daemon" in words and parent is not None and "pyspark.daemon" in parent.cmdline()


def _is_spawned(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.cmdline())


def _is_ray_actor(process: psutil.Process) -> bool:
    return any(word.startswith("ray::") and "Scorer" in word for word in process.cmdline()[:1])


def _measure(ground: Ground, side: Side, *, answers: int) -> tuple[Speed, dict[str, Any]]:
    HOME.mkdir(parents=True, exist_ok=True)
    job_file, output = HOME / f"{side.name}-job.json", HOME / f"{side.name}-found.json"
    output.unlink(missing_ok=True)
    job = {
        "texts": str(ground.texts),
        "rows": side.rows,
        "warm_rows": min(_WARM_ROWS, side.rows // 4),
        "partitions": _PARTITIONS,
        "tasks": side.tasks,
        "threads": side.threads,
        "max_length": ground.max_length,
        "answer_rows": answers,
        "answers": str(_answers(side.name)),
        "output": str(output),
        "began": time.time(),
        **side.job,
    }
    job_file.write_text(json.dumps(job))
    words = [str(side.python), *side.words, str(job_file)]
    log = LOGS / f"scoring-{side.name}.log"
    environment = {**our_environment(), "OMP_NUM_THREADS": str(side.threads)}
    done = run(words, log=log, cwd=ROOT, environment=environment, chosen=side.is_worker)
    values: dict[str, Any] = json.loads(output.read_text())
    rate = values["rows"] / values["seconds"]
    return Speed(rate, values["first_seconds"], done.peak_chosen / side.tasks, done.peak_tree), values


def _answers(side: str) -> Path:
    return HOME / f"{side}-answers.parquet"


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
