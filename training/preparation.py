"""Everything up to the first step: a training made of a plan, with model, state and precision that all ranks share."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mapring import contract, storage
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings import output_settings
from mapring.settings.base import changed_settings
from training.amplification import MOST
from training.augmentation import Augmenter, ids_to_mask, word_starts
from training.checkpoint import Checkpoints, Cursor, share_state
from training.compiled import check_compiler
from training.compression import compressed
from training.device import HOST, open_device
from training.dropout import check_passes_differ
from training.dropout_masks import dropout_of_parts
from training.forgetting import figures_on
from training.loop import Training, no_validation_rows, tell_resumed
from training.methods import apply_method
from training.model import BuiltModel, build_model, check_vocabulary, config_of, freeze_embeddings, try_model
from training.older_shards import digest_of_all, open_older
from training.onnx_export import check_graph_size
from training.optimizers import make_optimizer
from training.output_layer import head_of
from training.packed_rows import check_packed_rows
from training.padding_check import check_padding
from training.precision import choose_precision
from training.reader import ShardReader
from training.replay import ReplayReader, open_reader, rows_of_an_epoch
from training.ring import Ring, first_rank_only
from training.ring.interface import AgreedError
from training.shard_check import check_shards, labelled_rows
from training.special_tokens import read_special_tokens
from training.step import Stepper
from training.tasks import Task, open_task, weigh_classes
from training.tasks.distillation import distilled
from training.tasks.raw_scale import keep_trained_numbers


def prepare(plan: Plan, ring: Ring) -> tuple[Training, Cursor]:
    """A training and where it goes on; the same model, state and precision on all ranks.

    Raises:
        AgreedError: the shards are missing, damaged, or have nothing to learn from.
        SettingsError: model, tokenizer, lengths or lanes do not fit each other.
    """
    settings = plan.settings.train
    task = open_task(plan, ring)
    older = open_older(plan, task)
    reader = open_reader(plan, older, task, ring)
    if not reader.rows_in_split:
        raise AgreedError(f"{plan.shards_directory}: found no rows to train on; check the inputs and the splits")
    for directory in (plan.shards_directory, *([] if older is None else [older.directory])):
        check_shards(ring, directory)
    if settings.patience:
        _check_validation(ring, plan.shards_directory, task)
    rows = rows_of_an_epoch(ring, plan.shards_directory, older, reader, task.labels) if task.labels else []
    if settings.objective.class_weights == "balanced":
        task = weigh_classes(task, rows)
    if settings.compile:
        check_compiler(ring)
    device = open_device(settings.device, ring)
    task = distilled(task, plan, device)
    model, head = build_trainable(plan, task, reader.steps * settings.epochs, device)
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
        f"{_told(ring, device)}, {cursor.precision}, {reader.rows_in_split:,} rows, {reader.steps:,} steps an epoch"
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


def _check_validation(ring: Ring, directory: str, task: Task) -> None:
    """Patience needs a validation loss. Raises AgreedError where no row can have one."""
    rows = int(contract.read_manifest(directory).details["splits"]["validation"]["rows"])
    if rows and (task.labels or task.name == "regression"):
        rows = labelled_rows(ring, directory, "validation")
    if not rows:
        raise AgreedError(no_validation_rows(directory))


def _told(ring: Ring, device: torch.device) -> str:
    """The ring and what was set for it, in words."""
    words = [f"{ring.controller}, {ring.size} ranks on {device.type}", f"{torch.get_num_threads()} threads each"]
    if ring.controller.startswith("Horovod"):
        fusion = os.environ.get("HOROVOD_FUSION_THRESHOLD", "as it comes")
        words += [
            f"cycle {os.environ['HOROVOD_CYCLE_TIME']} ms",
            "no fusion" if fusion == "0" else f"fusion {fusion}",
            f"stalls end it after {os.environ['HOROVOD_STALL_SHUTDOWN_TIME_SECONDS']} s",
        ]
    return ", ".join(words)


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


def build_trainable(plan: Plan, task: Task, total_steps: int, device: torch.device = HOST) -> BuiltModel:
    """The model with what is trained of it, tried once on its device; equal weights wherever the seed is the same.

    With it come the names of its head, all of which is trained; see `output_layer.head_of`.
    """
    settings, details = plan.settings, contract.read_manifest(plan.shards_directory).details
    tokens = read_special_tokens(storage.join(plan.shards_directory, details["tokenizer"]["path"]))
    source, max_length = settings.train.model, settings.preprocess.max_length
    torch.manual_seed(settings.seed)
    with tempfile.TemporaryDirectory() as cache:
        model, fresh = build_model(
            source, task, tokens, max_length=max_length, cache=Path(cache), dropout=settings.train.dropout
        )
    check_passes_differ(config_of(model), settings.train)
    check_vocabulary(model, source, tokens.vocabulary)
    model = compressed(model, settings.train.compression)
    model.to(device)  # made on the host, whose random state is the same everywhere
    task.prepare(model)
    if source.directory is not None:
        keep_trained_numbers(model, fresh)
    if settings.train.freeze_embeddings:
        freeze_embeddings(model)
    if settings.train.gradient_checkpointing:
        parts = dropout_of_parts(settings.train, device)
        model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": parts})  # type: ignore[operator]
    head = head_of(model, task, fresh)
    adapted = apply_method(model, settings.train.method, head=head, total_steps=total_steps)
    adapted.to(device)  # and what the method has added
    check_graph_size(task, adapted, source)
    try_model(adapted, task, max_length, source)
    check_padding(adapted, task, max_length, source)
    if details.get("packing") is not None:
        check_packed_rows(adapted, task, max_length, source)
    return BuiltModel(adapted, head)


def _resume(ring: Ring, checkpoints: Checkpoints, model: nn.Module, optimizer: torch.optim.Optimizer) -> Cursor | None:
    def load() -> dict[str, Any] | None:
        found = checkpoints.load_newest(model, optimizer)
        return None if found is None else asdict(found)

    values = first_rank_only(ring, load, may_take_long=True)
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
        place = storage.join(plan.training_directory, "precision")
        precision = first_rank_only(ring, lambda: _chosen_before(place))
        if precision is None:
            measured, speedup = choose_precision(task, model, ring, rows=rows, length=length)
            _say(ring, f"precision {measured}: bf16 runs at {speedup:.2f} times the speed of fp32 here")
            precision = first_rank_only(ring, lambda: _choose_once(place, measured))
    return Cursor(step=0, epoch=0, precision=precision, world_size=ring.size, loss=0.0, rows=0, tokens=0, seconds=0.0)


def _chosen_before(place: str) -> str | None:
    """What an earlier start without a checkpoint chose: a clock would not choose the same at every start."""
    return storage.read_bytes(place).decode() if storage.exists(place) else None


def _choose_once(place: str, precision: str) -> str:
    storage.create(place, precision.encode())  # stays as it is where there is one
    return storage.read_bytes(place).decode()


def _say(ring: Ring, message: str) -> None:
    if ring.rank == 0:
        say("train", message)
