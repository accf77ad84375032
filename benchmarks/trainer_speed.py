"""A whole training beside transformers' Trainer: wall time from start to exit, and accuracy on the same test split.

All start from the same token ids and the same pretrained model, train two ranks of one thread each for one epoch,
evaluate the test split and save the model; ours also exports it to ONNX and proves it equal.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.corpus import FOLDER
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import (
    LOGS,
    ONE_THREAD,
    RANKS,
    ROOT,
    base_model,
    forget_training,
    native_precision,
    our_environment,
    reader_of,
    sentences,
)
from mapring.contract import read_manifest
from mapring.plan import Plan, make_plan
from pipelines.stages import stage_command

_ROUNDS = 2
_OUTPUT = FOLDER / "training"
_PYTHON = FOLDER / "peers" / "hf" / "bin" / "python"
_PEER = "transformers 5.23.0 Trainer"
_SAME = 0.02  # accuracies that differ by less are equal: one standard error of 1,100 test rows is 0.014


class _Run(NamedTuple):
    """Wall seconds from start to exit, those of the training loop alone, and the accuracy on the test split."""

    seconds: float
    loop_seconds: float
    accuracy: float


def trainer_figures() -> list[Figure]:
    """Two interleaved rounds of ours, the peer as it comes, and the peer at its best."""
    plan = sentences("trainer-speed", ["tweets", "reviews"], test=0.15)
    rows = _OUTPUT / "trainer-speed-rows"
    _plain_rows(plan, rows)
    rounds = [(_ours(plan), _theirs("defaults", plan, rows), _theirs("best", plan, rows)) for _ in range(_ROUNDS)]
    accuracies = [statistics.fmean(found[side].accuracy for found in rounds) for side in range(3)]
    floor = max(accuracies) - _SAME

    def gain(side: int) -> float:
        return statistics.median(found[side].seconds / found[0].seconds for found in rounds)

    best = f"{_PEER}, {native_precision()}, grouped by length"
    loop = statistics.median(found[2].loop_seconds / found[0].loop_seconds for found in rounds)
    ours = statistics.median(found[0].seconds for found in rounds)
    return [
        figure("trainer_vs_hf_defaults", gain(1), 1.5, "ratio", peer=f"{_PEER}, its defaults"),
        figure("trainer_vs_hf_best", gain(2), 1.05, "ratio", peer=best),
        figure("trainer_loop_vs_hf_best", loop, 1.05, "ratio", peer=best),
        figure("trainer_seconds", ours, ours * gain(2) / 1.05, "s", better="lower", peer=_PEER),
        figure("trainer_accuracy", accuracies[0], floor, "share", peer=_PEER),
        figure("hf_defaults_accuracy", accuracies[1], floor, "share", peer=_PEER),
        figure("hf_best_accuracy", accuracies[2], floor, "share", peer=_PEER),
    ]


def _plain_rows(plan: Plan, target: Path) -> None:
    """Token ids and labels of both splits, as lists in two files."""
    target.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        found = [
            {"input_ids": ids.tolist(), "labels": int(label)}
            for batch in reader_of(plan, 0, 1, split).rows()
            for ids, label in zip(batch.input_ids, batch.label_ids, strict=True)
        ]
        # Our shards come in a random order already; this is for the order of any other reader.
        np.random.default_rng(17).shuffle(found)
        torch.save(found, target / f"{split}.pt")


def _ours(plan: Plan) -> _Run:
    """The trainer as `mapring train` starts it, with the demo's settings.

    MPI passes buffers through memory: a step of 64 rows took 0.79 s of each core, and 0.95 s over Gloo.
    """
    chosen = make_plan(plan.config, ["ring.launcher=mpirun", f"ring.ranks={RANKS}"])
    forget_training(chosen)
    command = stage_command("train", chosen, Path("unused"))
    environment = {**command.environment, **our_environment()}
    done = run(command.words, log=LOGS / "trainer-ours.log", cwd=ROOT, environment=environment)
    details = read_manifest(chosen.model_directory).details
    return _Run(done.seconds, details["throughput"]["seconds"], float(details["evaluation"]["test"]["accuracy"]))


def _theirs(what: str, plan: Plan, rows: Path) -> _Run:
    output = _OUTPUT / f"hf-{what}"
    shutil.rmtree(output, ignore_errors=True)
    train = plan.settings.train
    settings = {
        **train.model_dump(),
        "rows_per_rank": train.global_batch // RANKS,
        "bf16": native_precision() == "bf16",
    }
    script = str(ROOT / "benchmarks/peers/hf_training.py")
    labels = str(len(read_manifest(plan.shards_directory).details["labels"]))
    words = [str(_PYTHON), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS), script]
    words += [what, base_model(plan), str(rows), labels, json.dumps(settings), str(output)]
    environment = {**ONE_THREAD, "HF_HUB_OFFLINE": "1"}
    done = run(words, log=LOGS / f"trainer-hf-{what}.log", cwd=FOLDER, environment=environment)
    found = json.loads((output / "figures.json").read_text())
    return _Run(done.seconds, float(found["train_seconds"]), float(found["accuracy"]))
