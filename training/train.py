"""Train a classifier on published shards and publish it: `python -m training.train --config C [KEY=VALUE ...]`.

Run it under `horovodrun -np N` (Gloo), `mpirun -np N` (MPI), `torchrun --nproc-per-node N`
(torch.distributed), or alone. A training that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from mapring import contract, storage
from mapring.errors import MapringError
from mapring.plan import Plan, make_plan
from mapring.progress import say, seconds_text
from mapring.settings import output_settings
from training.baselines import baselines
from training.checkpoint import Checkpoints, Cursor, share_state
from training.evaluate import evaluate
from training.export import publish_model
from training.loop import StopRequest, Training, run_training, tell_resumed
from training.model import build_model, check_vocabulary
from training.precision import choose_precision
from training.reader import ShardReader
from training.ring import Ring, RingError, first_rank_only, open_ring
from training.ring.interface import AgreedError, RegroupError
from training.step import Stepper, make_optimizer


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
    labels = _labels(plan)
    training, cursor = _prepare(plan, ring, labels)
    cursor = run_training(training, cursor, stop)
    evaluation = {
        split: evaluate(training.model, ring, plan.shards_directory, split, labels) for split in ("validation", "test")
    }
    ring.shutdown()  # what follows is rank 0's alone and may take longer than a silent ring is allowed to
    if ring.rank == 0:
        _finish(training, cursor, evaluation, labels)


def _prepare(plan: Plan, ring: Ring, labels: list[str]) -> tuple[Training, Cursor]:
    """Everything up to the first step: model, state and precision agreed on by all ranks."""
    settings = plan.settings.train
    reader = ShardReader(
        plan.shards_directory,
        "train",
        rank=ring.rank,
        size=ring.size,
        seed=plan.settings.seed,
        global_batch=settings.global_batch,
        shuffle_window=settings.shuffle_window,
    )
    if not reader.rows_in_split:
        raise AgreedError(f"{plan.shards_directory}: found no rows to train on; check the inputs and the splits")
    model = _build(plan, labels)
    optimizer = make_optimizer(model, settings.weight_decay)
    checkpoints = Checkpoints(
        plan.training_directory,
        fingerprint=plan.model,
        settings=output_settings(settings),
        keep=settings.keep_checkpoints,
    )
    cursor = _resume(ring, checkpoints, model, optimizer)
    if cursor is None:
        cursor = _start(plan, ring, model, reader)
    share_state(ring, model, optimizer)
    stepper = Stepper(
        model,
        optimizer,
        ring,
        settings,
        seed=plan.settings.seed,
        total_steps=reader.steps * settings.epochs,
        precision=cursor.precision,
    )
    _say(
        ring,
        f"{ring.controller}, {ring.size} ranks, {torch.get_num_threads()} threads each, "
        f"cycle {os.environ.get('HOROVOD_CYCLE_TIME', 'none')} ms, {cursor.precision}, "
        f"{reader.rows_in_split:,} rows, {reader.steps:,} steps an epoch",
    )
    training = Training(
        plan=plan,
        ring=ring,
        reader=reader,
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        checkpoints=checkpoints,
    )
    return training, cursor


def _labels(plan: Plan) -> list[str]:
    if not contract.is_published(plan.shards_directory):
        raise AgreedError(
            f"{plan.shards_directory}: found no published shards; run `mapring preprocess {plan.config}` first"
        )
    details = contract.read_manifest(plan.shards_directory).details
    if details["tokenizer"] is None:
        raise AgreedError(
            f"{plan.shards_directory}: found texts without tokens, expected tokenized ones; set preprocess.tokenizer"
        )
    if details.get("packing") is not None:
        raise AgreedError(
            f"{plan.shards_directory}: found packed sequences, expected one labelled document a row; "
            "set preprocess.packing=none, this trainer makes classifiers"
        )
    labels = [str(label) for label in details["labels"]]
    if len(labels) < 2:
        raise AgreedError(
            f"{plan.shards_directory}: found {len(labels)} labels, expected at least 2; "
            "set label_column of preprocess.inputs"
        )
    return labels


def _build(plan: Plan, labels: list[str]) -> nn.Module:
    settings = plan.settings
    with tempfile.TemporaryDirectory() as cache:
        model = build_model(
            settings.train.model,
            labels=labels,
            seed=settings.seed,
            max_length=settings.preprocess.max_length,
            freeze_embeddings=settings.train.freeze_embeddings,
            cache=Path(cache),
        )
    details = contract.read_manifest(plan.shards_directory).details
    content = storage.read_bytes(storage.join(plan.shards_directory, details["tokenizer"]["path"], "tokenizer.json"))
    check_vocabulary(model, Tokenizer.from_str(content.decode()).get_vocab_size())
    return model


def _resume(ring: Ring, checkpoints: Checkpoints, model: nn.Module, optimizer: torch.optim.AdamW) -> Cursor | None:
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


def _start(plan: Plan, ring: Ring, model: nn.Module, reader: ShardReader) -> Cursor:
    """The cursor of step 0, with the precision that all steps will have."""
    precision = plan.settings.train.precision
    if precision == "auto":
        length = max(1, round(reader.tokens / reader.rows_in_split))
        rows = max(1, plan.settings.train.global_batch // ring.size)
        precision, speedup = choose_precision(model, ring, rows=rows, length=length)
        _say(ring, f"precision {precision}: bf16 runs at {speedup:.2f} times the speed of fp32 here")
    return Cursor(step=0, epoch=0, precision=precision, world_size=ring.size, loss=0.0, rows=0, tokens=0, seconds=0.0)


def _finish(training: Training, cursor: Cursor, evaluation: dict[str, Any], labels: list[str]) -> None:
    plan = training.plan
    found = baselines(plan.shards_directory, labels) if plan.settings.train.baselines else {}
    publish_model(plan, training.model, cursor, {**evaluation, "baselines": found})
    test = evaluation["test"]
    quality = f"accuracy {test['accuracy']:.3f}, macro-F1 {test['macro_f1']:.3f}" if test["rows"] else "no test rows"
    against = f" (TF-IDF {found['tfidf_logistic_regression']['accuracy']:.3f})" if found else ""
    say(
        "train",
        f"{quality}{against} on {test['rows']:,} test rows; {cursor.rows / cursor.seconds:.0f} samples/s over "
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
