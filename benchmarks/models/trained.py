"""A training as `mapring train` runs it, measured once: seconds, memory, and what its model is worth."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpus import FOLDER
from benchmarks.processes import run
from benchmarks.sentences import LOGS, ROOT, forget_training, our_environment
from mapring import contract
from mapring.plan import Plan, make_plan
from pipelines.stages import stage_command

RUNS = FOLDER / "models"
DOMAINS = ("tweets", "reviews", "movies", "editorials")
RING = ("ring.launcher=mpirun", "ring.ranks=2")


@dataclass(frozen=True)
class Trained:
    """A published model and what it took: seconds to exit, those of the loop, peak bytes of all processes."""

    name: str
    plan: Plan
    seconds: float
    loop_seconds: float
    peak_bytes: int

    @property
    def details(self) -> dict[str, Any]:
        """What the model's manifest says of it."""
        return dict(contract.read_manifest(self.plan.model_directory).details)

    @property
    def test(self) -> dict[str, Any]:
        """The figures of the test split."""
        found: dict[str, Any] = self.details["evaluation"]["test"]
        return found

    @property
    def accuracy(self) -> float:
        """Share of the test split that is classified as labelled."""
        return float(self.test["accuracy"])

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Step and training loss."""
        lines = Path(self.plan.training_directory, "metrics.jsonl").read_text().splitlines()
        return [(float(row["step"]), float(row["loss"])) for row in map(json.loads, lines)]

    @property
    def stock_directory(self) -> str:
        """The directory of the model that transformers loads."""
        return str(Path(self.plan.model_directory, self.details["transformers"]))


def write_config(name: str, values: dict[str, Any]) -> str:
    """A config in the benchmarks' folder, whose run directory has the same name; its path."""
    RUNS.mkdir(parents=True, exist_ok=True)
    config = RUNS / f"{name}.yaml"
    config.write_text(yaml.safe_dump({"name": name, "run_dir": str(RUNS / name), **values}))
    return str(config)


def trained(name: str, config: str, overrides: Sequence[str] = ()) -> Trained:
    """Train a plan on two ranks, unless that was measured before; `name` is of its logs and in tables."""
    words = [*RING, *overrides]
    _preprocess(name, config, words)
    plan = make_plan(config, words)
    record = Path(plan.run.root, "measured", f"{plan.model}.json")
    if not (record.exists() and contract.is_published(plan.model_directory)):
        forget_training(plan)
        command = stage_command("train", plan, Path("unused"))
        environment = {**command.environment, **our_environment()}
        done = run(command.words, log=LOGS / f"models-{name}.log", cwd=ROOT, environment=environment)
        loop = float(contract.read_manifest(plan.model_directory).details["throughput"]["seconds"])
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps({"seconds": done.seconds, "loop_seconds": loop, "peak_bytes": done.peak_tree}))
    return Trained(name, plan, **json.loads(record.read_text()))


def _preprocess(name: str, config: str, words: Sequence[str]) -> None:
    plan = make_plan(config, words)
    if contract.is_published(plan.shards_directory):
        return
    mapring = str(Path(sys.executable).parent / "mapring")
    environment = our_environment()
    command = [mapring, "preprocess", config, *words]
    run(command, log=LOGS / f"models-{name}-preprocess.log", cwd=ROOT, environment=environment)
