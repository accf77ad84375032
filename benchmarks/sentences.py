"""Labelled sentences for the training benchmarks: domains of the demo as published shards, and as plain batches.

Texts are short (26 tokens on average), which is hard on a ring: little to compute for every gradient sent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from benchmarks.corpus import FOLDER
from benchmarks.processes import run
from mapring import contract
from mapring.machine import cpu_features
from mapring.plan import Plan, make_plan
from mapring.storage import resolve
from training.padding import padded_rows
from training.reader import ShardReader

ROOT = Path(__file__).resolve().parents[1]
RANKS = 2
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # of every rank on both sides
LOGS = FOLDER / "logs"
_RUNS = FOLDER / "training"


def sentences(name: str, domains: Sequence[str], *, test: float, validation: float = 0.0, **train: Any) -> Plan:
    """The plan of a training on some domains of the demo, whose shards are published, once.

    Args:
        name: of the pipeline and its run directory.
        domains: names of the demo's inputs.
        test: share of the documents held back for the test.
        validation: share of them held back besides.
        train: settings of the training that differ from the demo's.
    """
    subprocess.run([sys.executable, str(ROOT / "scripts/fetch_demo_data.py")], check=True)
    values = yaml.safe_load((ROOT / "conf/demo.yaml").read_text())
    chosen = [{**entry, "path": str(ROOT / entry["path"])} for entry in values["preprocess"]["inputs"]]
    values["name"], values["run_dir"] = name, str(_RUNS / name)
    values["preprocess"]["inputs"] = [entry for entry in chosen if entry["name"] in domains]
    values["preprocess"]["splits"] = {"validation": validation, "test": test}
    values["score"]["inputs"][0]["path"] = str(ROOT / values["score"]["inputs"][0]["path"])
    values["train"].update({"baselines": False, **train})
    config = _RUNS / f"{name}.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(values))
    plan = make_plan(str(config))
    if not contract.is_published(plan.shards_directory):
        mapring = str(Path(sys.executable).parent / "mapring")
        run([mapring, "preprocess", str(config)], log=LOGS / f"{name}-preprocess.log", cwd=ROOT)
    return plan


def forget_training(plan: Plan) -> None:
    """Remove checkpoints, curves and the model of a plan, so that the next training starts over."""
    for directory in (plan.training_directory, plan.model_directory):
        shutil.rmtree(directory, ignore_errors=True)


def base_model(plan: Plan) -> str:
    """The local directory of the pretrained model that a plan starts from."""
    directory = plan.settings.train.model.directory
    assert directory is not None
    return resolve(directory)


def reader_of(plan: Plan, rank: int, size: int, split: str = "train") -> ShardReader:
    """The reader that the trainer would make."""
    settings = plan.settings
    return ShardReader(
        plan.shards_directory,
        split,
        rank=rank,
        size=size,
        seed=settings.seed,
        global_batch=settings.train.global_batch,
        shuffle_window=settings.train.shuffle_window,
    )


def padded_batches(plan: Plan, pad_token_id: int, target: Path) -> None:
    """Write the first epoch's batches as each rank's trainer would see them, padded: `<target>/rank-<r>.pt`.

    Each file is a list of (input_ids, attention_mask, labels, rows of the global batch).
    """
    target.mkdir(parents=True, exist_ok=True)
    for rank in range(RANKS):
        found = []
        for batch in reader_of(plan, rank, RANKS).epoch(0):
            pieces = list(padded_rows(batch.input_ids, pad_token_id))
            assert len(pieces) == 1, "a batch of these benchmarks fits into one piece"
            rows, input_ids, attention_mask = pieces[0]
            labels = torch.from_numpy(batch.label_ids[rows])
            found.append((input_ids, attention_mask, labels, batch.global_rows))
        torch.save(found, target / f"rank-{rank}.pt")


def native_precision() -> Literal["fp32", "bf16"]:
    """The arithmetic that this processor is fastest in; bf16 that it does not compute itself took 2.8 times as long."""
    return "bf16" if {"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_features()) else "fp32"


def our_environment() -> dict[str, str]:
    """What our ranks find in their environment: one thread each, and this tree to import from."""
    return {**ONE_THREAD, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(":")}
