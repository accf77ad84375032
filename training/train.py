"""Train a model on published shards and publish it: `python -m training.train --config C [KEY=VALUE ...]`.

Run it under `horovodrun -np N` (Gloo), `mpirun -np N` (MPI), `torchrun --nproc-per-node N`
(torch.distributed), or alone. A training that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mapring import contract, storage
from mapring.errors import MapringError
from mapring.plan import Plan, make_plan
from mapring.progress import say, seconds_text
from mapring.settings import output_settings
from mapring.settings.base import changed_settings
from training.amplification import MOST
from training.augmentation import Augmenter, ids_to_mask, word_starts
from training.baselines import baselines, best_of
from training.checkpoint import Checkpoints, Cursor, share_state
from training.compiled import check_compiler
from training.compression import compressed
from training.compression.before_after import before_and_after, evaluate_before
from training.device import HOST, open_device
from training.export import publish_model
from training.forgetting import figures_on, forgetting, told
from training.loop import StopRequest, Training, run_training, take_best, tell_resumed
from training.methods import apply_method, finished_model
from training.model import BuiltModel, build_model, check_vocabulary, freeze_embeddings, try_model
from training.older_shards import digest_of_all, open_older
from training.optimizers import make_optimizer
from training.precision import choose_precision
from training.reader import ShardReader
from training.reference import reference_distribution
from training.replay import ReplayReader, open_reader, rows_of_an_epoch
from training.ring import Ring, RingError, first_rank_only, open_ring
from training.ring.interface import AgreedError, RegroupError
from training.robustness import robustness
from training.shard_check import check_shards
from training.special_tokens import read_special_tokens
from training.step import Stepper
from training.tasks import Task, open_task, weigh_classes
from training.tasks.distillation import distilled
from training.tasks.raw_scale import keep_trained_numbers
from training.tracking import Tracker, tracked

_TOLD = {  # figures of the closing line
    "accuracy": "accuracy",
    "subset_accuracy": "subset accuracy",
    "macro_f1": "macro-F1",
    "ndcg_at_10": "NDCG@10",
    "r2": "R2",
    "spearman": "Spearman",
    "mean_reciprocal_rank": "MRR",
    "recall_at_10": "recall@10",
    "perplexity": "perplexity",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one rank; the exit code. Errors for users are one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", required=True, help="YAML file of the pipeline, path or URI")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the file")
    parsed = parser.parse_args(arguments)
    ring: Ring | None = None
    try:
        stop = StopRequest()
        plan = make_plan(parsed.config, parsed.overrides)
        is_done = False
        while not is_done:
            ring = open_ring(plan.settings.ring)
            is_done = _train_in(ring, plan, stop)
    except MapringError as error:
        if ring is None or ring.rank == 0 or not isinstance(error, AgreedError):
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _train_in(ring: Ring, plan: Plan, stop: StopRequest) -> bool:
    """Train to the end; False where this ring ended before and the launcher forms another one.

    All ranks of the next ring, old and new, begin alike, and take up the newest checkpoint: what is done twice are the
    steps since then where a rank was lost, and none where ranks came or were let go.
    """
    try:
        train(plan, ring, stop)
    except (RingError, RegroupError) as error:
        if not ring.elastic:
            raise
        if ring.rank == 0 or isinstance(error, RingError):
            say("train", f"rank {ring.rank} of {ring.size} waits for a new ring: {error}")
        ring.shutdown()
        return False
    return True


def train(plan: Plan, ring: Ring, stop: StopRequest) -> None:
    """Train and publish the model of a plan, unless it is published already.

    Raises:
        StageError: the shards are missing or have no labels, a loss is not finite, or another rank ended.
        SettingsError: model, tokenizer, lengths or lanes do not fit each other.
        StoppedError: SIGTERM was received.
    """
    if first_rank_only(ring, lambda: contract.is_published(plan.model_directory)):
        _say(ring, f"model {plan.model} is already published at {plan.model_directory}")
        ring.shutdown()
        return
    with tracked(plan, ring) as trackers:
        _train(plan, ring, stop, trackers)


def _train(plan: Plan, ring: Ring, stop: StopRequest, trackers: Sequence[Tracker]) -> None:
    training, cursor = _prepare(plan, ring)
    cursor = run_training(training, cursor, stop, trackers)
    if plan.settings.train.patience:
        take_best(training, cursor)
    training = replace(training, model=finished_model(training.model))
    training.task.finish(training.model)
    evaluation, before = _evaluate(training, cursor), evaluate_before(training)
    reference = reference_distribution(training.task, training.model, ring, plan.shards_directory)
    training.model.to("cpu")  # exports and golden rows are made there
    ring.shutdown()  # what follows is rank 0's alone and may take longer than a silent ring is allowed to
    for tracker in trackers:
        tracker.conclude(cursor.best_step or cursor.step, _numbers(evaluation["test"]))
    if ring.rank == 0:
        if before is not None:
            evaluation["compression"] = before_and_after(training, before, evaluation["test"])
        _finish(training, cursor, evaluation, reference)


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of some figures that are single numbers."""
    return {name: float(value) for name, value in figures.items() if type(value) in (int, float)}


def _evaluate(training: Training, cursor: Cursor) -> dict[str, dict[str, Any]]:
    """Figures of the validation split, of the test split at the temperature that fits it, and of older shards."""
    task, shards = training.task, training.plan.shards_directory
    validation = task.evaluate(training.model, training.ring, shards, "validation")
    temperature = validation.get("temperature") or 1.0
    found = {
        "validation": validation,
        "test": task.evaluate(training.model, training.ring, shards, "test", temperature),
    }
    if training.plan.settings.train.robustness:
        seed = training.plan.settings.seed
        found["robustness"] = robustness(task, training.model, training.ring, shards, seed=seed)
    older = open_older(training.plan, task)
    if older is not None and cursor.older_before is not None:
        after = figures_on(older, task, training.model, training.ring)
        found["forgetting"] = forgetting(older, cursor.older_before, after)
    return found


def _prepare(plan: Plan, ring: Ring) -> tuple[Training, Cursor]:
    """Everything up to the first step: model, state and precision agreed on by all ranks."""
    settings = plan.settings.train
    task = open_task(plan, ring)
    older = open_older(plan, task)
    reader = open_reader(plan, older, task, ring)
    if not reader.rows_in_split:
        raise AgreedError(f"{plan.shards_directory}: found no rows to train on; check the inputs and the splits")
    for directory in (plan.shards_directory, *([] if older is None else [older.directory])):
        check_shards(ring, directory)
    rows = rows_of_an_epoch(ring, plan.shards_directory, older, reader, task.labels) if task.labels else []
    if settings.objective.class_weights == "balanced":
        task = weigh_classes(task, rows)
    if settings.compile:
        check_compiler(ring)
    device = open_device(settings.device, ring)
    task = distilled(task, plan, device)
    model, head = _build(plan, task, reader.steps * settings.epochs, device)
    optimizer = make_optimizer(model, settings)
    checkpoints = Checkpoints(
        plan.training_directory,
        fingerprint=plan.model,
        shards=digest_of_all(reader.manifest, older),
        settings=output_settings(settings),
        keep=settings.keep_checkpoints,
    )
    cursor = _resume(ring, checkpoints, model, optimizer)
    if cursor is None:
        cursor = _start(plan, ring, task, model, reader)
    share_state(ring, model, optimizer)
    if older is not None and cursor.older_before is None:
        cursor = replace(cursor, older_before=figures_on(older, task, model, ring))
    stepper = Stepper(
        task,
        model,
        optimizer,
        ring,
        settings,
        seed=plan.settings.seed,
        steps_an_epoch=reader.steps,
        precision=cursor.precision,
        augmenter=_augmenter(plan),
    )
    amplification = reader.read_amplification
    _say(
        ring,
        f"{ring.controller}, {ring.size} ranks on {device.type}, {torch.get_num_threads()} threads each, "
        f"cycle {os.environ.get('HOROVOD_CYCLE_TIME', 'none')} ms, {cursor.precision}, "
        f"{reader.rows_in_split:,} rows, {reader.steps:,} steps an epoch"
        + (f", a rank reads up to {amplification:.2f} times its share" if amplification > MOST else ""),
    )
    unseen = [label for label, count in zip(task.labels, rows, strict=True) if not count]
    if unseen:
        names = ", ".join(unseen[:5]) + ", ..." * (len(unseen) > 5)
        _say(ring, f"warning: no training row has the label {names}; evaluated, but nothing can be learned of it")
    training = Training(
        plan=plan,
        task=task,
        ring=ring,
        reader=reader,
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        checkpoints=checkpoints,
        head=head,
    )
    return training, cursor


def _augmenter(plan: Plan) -> Augmenter | None:
    """What changes training rows, by the shards' tokenizer; None where nothing does."""
    settings = plan.settings.train.augmentation
    if not changed_settings(settings):
        return None
    details = contract.read_manifest(plan.shards_directory).details
    tokens = read_special_tokens(storage.join(plan.shards_directory, details["tokenizer"]["path"]))
    return Augmenter(
        settings,
        starts_word=word_starts(tokens.vocabulary),
        is_special=ids_to_mask(tokens.all_ids, tokens.vocabulary_size),
        seed=plan.settings.seed,
    )


def _build(plan: Plan, task: Task, total_steps: int, device: torch.device = HOST) -> BuiltModel:
    """The model with what is trained of it, tried once on its device; equal weights wherever the seed is the same."""
    settings, details = plan.settings, contract.read_manifest(plan.shards_directory).details
    tokens = read_special_tokens(storage.join(plan.shards_directory, details["tokenizer"]["path"]))
    source, max_length = settings.train.model, settings.preprocess.max_length
    torch.manual_seed(settings.seed)
    with tempfile.TemporaryDirectory() as cache:
        model, head = build_model(source, task, tokens, max_length=max_length, cache=Path(cache))
    check_vocabulary(model, source, tokens.vocabulary)
    model = compressed(model, settings.train.compression)
    model.to(device)  # made on the host, whose random state is the same everywhere
    task.prepare(model)
    if source.directory is not None:
        keep_trained_numbers(model, head)
    if settings.train.freeze_embeddings:
        freeze_embeddings(model)
    if settings.train.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    adapted = apply_method(model, settings.train.method, task=settings.train.task, head=head, total_steps=total_steps)
    adapted.to(device)  # and what the method has added
    try_model(adapted, task, max_length, source)
    return BuiltModel(adapted, head)


def _resume(ring: Ring, checkpoints: Checkpoints, model: nn.Module, optimizer: torch.optim.Optimizer) -> Cursor | None:
    def load() -> dict[str, Any] | None:
        found = checkpoints.load_newest(model, optimizer)
        return None if found is None else asdict(found)

    values = first_rank_only(ring, load)
    if values is None:
        return None
    cursor = Cursor(**values)
    if ring.rank == 0:
        tell_resumed(cursor, ring.size)
    return Cursor(**{**values, "world_size": ring.size})


def _start(plan: Plan, ring: Ring, task: Task, model: nn.Module, reader: ShardReader | ReplayReader) -> Cursor:
    """The cursor of step 0, with the precision that all steps will have."""
    precision = plan.settings.train.precision
    if precision == "auto":
        length = max(1, round(reader.tokens / reader.rows_in_split))
        rows = max(1, plan.settings.train.global_batch // ring.size)
        precision, speedup = choose_precision(task, model, ring, rows=rows, length=length)
        _say(ring, f"precision {precision}: bf16 runs at {speedup:.2f} times the speed of fp32 here")
    return Cursor(step=0, epoch=0, precision=precision, world_size=ring.size, loss=0.0, rows=0, tokens=0, seconds=0.0)


def _finish(training: Training, cursor: Cursor, evaluation: dict[str, Any], reference: dict[str, Any] | None) -> None:
    plan = training.plan
    wanted = plan.settings.train.baselines
    found = baselines(training.task, training.model, plan.shards_directory) if wanted else {}
    publish_model(training, cursor, {**evaluation, "baselines": found}, reference)
    test = evaluation["test"]
    figures = [f"{name} {test[key]:.3f}" for key, name in _TOLD.items() if test.get(key) is not None]
    quality = f"{', '.join(figures)}{best_of(found)} on {test['rows']:,} test rows" if figures else "no test rows"
    quality += told(evaluation["forgetting"], _TOLD) if "forgetting" in evaluation else ""
    say(
        "train",
        f"{quality}; {cursor.rows / cursor.seconds:.0f} samples/s over "
        f"{seconds_text(cursor.seconds)}; model {plan.model} published at {plan.model_directory}",
    )


def _say(ring: Ring, message: str) -> None:
    if ring.rank == 0:
        say("train", message)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Leave without exit handlers: after an error those of a ring would wait for ranks that may be gone, and
    # after success torch's Gloo threads were seen to abort the process on its way out.
    os._exit(code)
