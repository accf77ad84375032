"""What must be equal: an evaluation on any number of ranks, and a published model wherever it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import torch
import transformers

from benchmarks.models.methods import METHODS, of_sentences
from benchmarks.models.trained import RUNS, Trained
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import LOGS, ROOT, our_environment
from mapring.plan import make_plan
from pipelines.stages import stage_command

_WORLD_SIZES = (1, 2, 3, 5)


def evaluation_figures() -> list[Figure]:
    """The largest difference of any figure of one model's evaluation between 1, 2, 3 and 5 ranks."""
    model = of_sentences("full", METHODS["full"])
    alone, *others = [_evaluated(model, ranks) for ranks in _WORLD_SIZES]
    difference = max(abs(one - other) for found in others for one, other in zip(alone, found, strict=True))
    return [figure("evaluation_difference_across_world_sizes", difference, 0.0, "1", better="lower")]


def _evaluated(model: Trained, ranks: int) -> list[float]:
    """All figures of the test split, in order."""
    # mpirun counts the cores and refuses more ranks than these.
    words = [*model.plan.overrides, "ring.launcher=horovodrun", f"ring.ranks={ranks}"]
    command = stage_command("train", make_plan(model.plan.config, words), Path("unused"))
    output = RUNS / f"evaluation-{ranks}.json"
    output.unlink(missing_ok=True)
    place = command.words.index("training.train")
    launcher = [*command.words[:place], "benchmarks.models.evaluation_rank", model.plan.config, str(output), *words]
    environment = {**command.environment, **our_environment()}
    run(launcher, log=LOGS / f"models-evaluation-{ranks}.log", cwd=ROOT, environment=environment)
    return list(_numbers(json.loads(output.read_text())))


def _numbers(value: Any) -> Iterator[float]:
    """Every number of a nested value, in order."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _numbers(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield float(value)


def golden_figures() -> list[Figure]:
    """The largest difference between the golden rows of the models and what ONNX Runtime and stock transformers give.

    Every golden row is run alone, as one row and without padding.
    """
    differences = []
    for name, words in METHODS.items():
        model = of_sentences(name, words)
        differences.append(_difference(model))
        sys.stdout.write(f"{name}: {differences[-1]:.2g}\n")
    return [figure("golden_rows_max_difference", max(differences), 1e-4, "logit", better="lower")]


def _difference(model: Trained) -> float:
    directory, details = Path(model.plan.model_directory), model.details
    rows = pq.read_table(directory / details["golden"]).to_pylist()
    session = onnxruntime.InferenceSession(str(directory / details["onnx"]), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    stock: Any = None
    if details["transformers"] is not None:
        stock = transformers.AutoModelForSequenceClassification.from_pretrained(directory / details["transformers"])
        stock.eval()
    worst = 0.0
    for row in rows:
        ids = np.array([row["input_ids"]], np.int64)
        cells = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        answers = [session.run(None, {name: cells[name] for name in names})[0][0]]
        if stock is not None:
            with torch.inference_mode():
                answers.append(stock(torch.from_numpy(ids)).logits[0].numpy())
        worst = max(worst, *(float(np.abs(np.array(row["logits"]) - found).max()) for found in answers))
    return worst
