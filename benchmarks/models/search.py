"""What a search for hyperparameters gains over the settings as they come, on a test split that it does not see."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import LOGS, ROOT, our_environment, sentences
from mapring.contract import read_manifest
from mapring.settings.train import Train

_TRIALS = 4
_SPACE = {
    "train.learning_rate": {"low": 3.0e-5, "high": 5.0e-4, "log": True},
    "train.schedule": {"choices": ["linear", "cosine"]},
    "train.warmup_share": {"choices": [0.0, 0.1, 0.2]},
}


def search_figures() -> list[Figure]:
    """Accuracy of the best trial's model minus that of the first, which has the default learning rate."""
    default_rate = float(Train.model_fields["learning_rate"].default)
    plan = sentences("search", ["tweets", "reviews"], test=0.15, validation=0.1, learning_rate=default_rate)
    values = yaml.safe_load(Path(plan.config).read_text())
    values["tune"] = {"trials": _TRIALS, "metric": "loss", "space": _SPACE, "startup_trials": 2}
    values["ring"] = {"ranks": 2, "launcher": "mpirun"}
    Path(plan.config).write_text(yaml.safe_dump(values))
    mapring = str(Path(sys.executable).parent / "mapring")
    run([mapring, "tune", plan.config], log=LOGS / "models-search.log", cwd=ROOT, environment=our_environment())
    (trials,) = Path(plan.run.root, "tuning").glob("*/trials.json")
    found = json.loads(trials.read_text())
    gain = _accuracy(plan.run.root, found, found["best"]) - _accuracy(plan.run.root, found, 0)
    return [figure("tune_gain_over_defaults", gain, 0.0, "share", peer="the settings as they come")]


def _accuracy(root: str, found: dict[str, Any], number: int) -> float:
    """On the test split."""
    trial = next(trial for trial in found["trials"] if trial["trial"] == number)
    directory = str(Path(root, "models", trial["model"]))
    return float(read_manifest(directory).details["evaluation"]["test"]["accuracy"])
