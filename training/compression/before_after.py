"""Size, speed and quality of what a model was made from, and of the model: teacher or base, and student."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from mapring import contract, storage
from mapring.progress import say
from mapring.settings.base import changed_settings
from training.compression.classifier import OrderedClassifier, labels_of
from training.device import device_of
from training.loop import Training
from training.model import config_of, load_pretrained, set_padding
from training.special_tokens import read_special_tokens
from training.tasks.distillation import DistilledClassification

_ROWS = 32  # of a timed batch
_ROUNDS = 7  # behind a warm-up


class Before(NamedTuple):
    """The model that another was made from, which one that is, and its figures of the test split, if it has any."""

    model: nn.Module
    kind: Literal["teacher", "base"]
    test: Mapping[str, Any]


def evaluate_before(training: Training) -> Before | None:
    """The teacher of a training, else the base before its compression; None where there is neither.

    All ranks of the ring call this. A base is evaluated where it is a trained classifier for the shards' labels.
    """
    settings, task = training.plan.settings.train, training.task
    if isinstance(task, DistilledClassification):
        return _evaluated(training, task.teacher, "teacher")
    if not changed_settings(settings.compression):
        return None
    return _evaluated(training, _base(training).to(device_of(training.model)), "base")


def before_and_after(training: Training, before: Before, test: Mapping[str, Any]) -> dict[str, Any]:
    """Size, speed and quality of both, and how the speed was measured; rank 0 alone calls this, when no other works.

    Args:
        training: whose model is finished, and on the host.
        before: what it was made from.
        test: figures of the finished model on the test split.

    Returns:
        `before` and `after` with `parameters`, `bytes` of them in fp32, `samples_per_second`, `accuracy` and `macro_f1`
        (None where they are not known); `before.model` is teacher or base; `rows`, `length`, `threads` and `rounds` of
        the timed batches.
    """
    before.model.to("cpu")
    length = _typical_length(training.plan.shards_directory)
    seconds = _median_seconds((before.model, training.model), length)
    found: dict[str, Any] = {
        "before": {"model": before.kind, **_figures(before.model, seconds[0], before.test)},
        "after": _figures(training.model, seconds[1], test),
        "rows": _ROWS,
        "length": length,
        "threads": torch.get_num_threads(),
        "rounds": _ROUNDS,
    }
    size = found["after"]["parameters"] / found["before"]["parameters"]
    say("train", f"{size:.2f} of the {before.kind}'s parameters, {seconds[0] / seconds[1]:.2f} times its speed")
    return found


def _evaluated(training: Training, model: nn.Module, kind: Literal["teacher", "base"]) -> Before:
    if not isinstance(model, OrderedClassifier):
        return Before(model, kind, {})
    return Before(
        model, kind, training.task.evaluate(model, training.ring, training.plan.shards_directory, "test", 1.0)
    )


def _base(training: Training) -> nn.Module:
    """The base as it was before, with what the task adds to it; in the shards' order of labels where it knows them."""
    plan, task = training.plan, training.task
    directory, where = plan.settings.train.model.directory, plan.shards_directory
    assert directory is not None  # else settings were refused
    tokenizer = contract.read_manifest(where).details["tokenizer"]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        model, fresh = load_pretrained(task.auto_class, directory, {}, cache)
        is_trained = task.name == "classify" and not fresh and sorted(labels_of(model)) == sorted(task.labels)
        if not is_trained:
            model, _ = load_pretrained(task.auto_class, directory, task.model_settings(), cache)
    set_padding(model, read_special_tokens(storage.join(where, tokenizer["path"])))
    return OrderedClassifier(model, task.labels) if is_trained else model


def _figures(model: nn.Module, seconds: float, test: Mapping[str, Any]) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": parameters,
        "bytes": 4 * parameters,
        "samples_per_second": _ROWS / seconds,
        "accuracy": test.get("accuracy"),
        "macro_f1": test.get("macro_f1"),
    }


def _typical_length(shards_directory: str) -> int:
    """Mean tokens of the test split's rows, or of the training split's where there is no test row."""
    splits = contract.read_manifest(shards_directory).details["splits"]
    split: Mapping[str, int] = next(splits[name] for name in ("test", "train") if splits.get(name, {}).get("rows"))
    return max(1, round(split["tokens"] / split["rows"]))


def _median_seconds(models: Sequence[nn.Module], length: int) -> list[float]:
    """Median time of a forward pass of each model in fp32, in turn, so that what disturbs one disturbs the others."""
    vocabulary = min(int(config_of(model).vocab_size) for model in models)
    ids = torch.arange(_ROWS * length).reshape(_ROWS, length) % vocabulary
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    found: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for _ in range(_ROUNDS + 1):
            for model, seconds in zip(models, found, strict=True):
                model.eval()
                start = time.perf_counter()
                model(**inputs)
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds[1:]) for seconds in found]
