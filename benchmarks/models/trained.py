"""A training as `mapring train` runs it, measured once: seconds, memory, and what its model is worth."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpus import FOLDER
from benchmarks.processes import Run, run
from benchmarks.sentences import LOGS, ROOT, forget_training, our_environment
from mapring import contract
from mapring.plan import Plan, make_plan
from pipelines.stages import stage_command

RUNS = FOLDER / "models"
_NOTES = RUNS / "noted"
DOMAINS = ("tweets", "reviews", "movies", "editorials")
RING = ("ring.launcher=mpirun", "ring.ranks=2")


@dataclass(frozen=True)
class Trained:
    """A published model, and what was noted of its training."""

    plan: Plan
    noted: Mapping[str, Any]

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
    def tfidf_accuracy(self) -> float:
        """The same share of TF-IDF with a logistic regression."""
        return float(self.details["evaluation"]["baselines"]["tfidf_logistic_regression"]["accuracy"])

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
    """Train a plan on two ranks, unless that was measured before; it is noted under `name`."""
    words = [*RING, *overrides]
    _preprocess(name, config, words)
    plan = make_plan(config, words)
    if not (contract.is_published(plan.model_directory) and (noted(name) or {}).get("model") == plan.model):
        forget_training(plan)
        command = stage_command("train", plan, Path("unused"))
        environment = {**command.environment, **our_environment()}
        done = run(command.words, log=LOGS / f"models-{name}.log", cwd=ROOT, environment=environment)
        _note(name, plan, done)
    return Trained(plan, noted(name) or {})


def noted(name: str) -> dict[str, Any] | None:
    """What was measured of the last training of this name, None before the first.

    `seconds` from start to exit, `loop_seconds` of these in steps, `peak_bytes` of all processes, `epochs`,
    `learning_rate`, figures of the test split, and the `curve`: step and training loss.
    """
    path = _NOTES / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def _note(name: str, plan: Plan, done: Run) -> None:
    details = contract.read_manifest(plan.model_directory).details
    lines = Path(plan.training_directory, "metrics.jsonl").read_text().splitlines()
    values = {
        "model": plan.model,
        "seconds": done.seconds,
        "loop_seconds": details["throughput"]["seconds"],
        "peak_bytes": done.peak_tree,
        "epochs": plan.settings.train.epochs,
        "learning_rate": plan.settings.train.learning_rate,
        "test": details["evaluation"]["test"],
        "curve": [(row["step"], row["loss"]) for row in map(json.loads, lines)],
    }
    _NOTES.mkdir(parents=True, exist_ok=True)
    (_NOTES / f"{name}.json").write_text(json.dumps(values))


def _preprocess(name: str, config: str, words: Sequence[str]) -> None:
    plan = make_plan(config, words)
    if contract.is_published(plan.shards_directory):
        return
    mapring = str(Path(sys.executable).parent / "mapring")
    environment = our_environment()
    command = [mapring, "preprocess", config, *words]
    run(command, log=LOGS / f"models-{name}-preprocess.log", cwd=ROOT, environment=environment)
