"""The training loop: batches in order, a step each, metrics, checkpoints, and a clean stop when asked."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FrameType

import torch
from torch import nn

from mapring.errors import MapringError
from mapring.plan import Plan
from mapring.progress import Progress, say
from training.checkpoint import Checkpoints, Cursor
from training.early_stopping import after_evaluation, is_counted, is_out_of_patience
from training.metrics import MetricsLog, StepMetrics, memory_rss_mb
from training.model import state_tensors
from training.reader import ShardReader
from training.replay import ReplayReader
from training.ring import Ring, check_same, first_rank_only
from training.ring.interface import AgreedError, RegroupError
from training.sample_log import SampleLog
from training.step import Stepper, StepResult
from training.tasks.interface import Task
from training.tracking import Tracker

_TO_STOP = (signal.SIGTERM, signal.SIGUSR1)
_STOPPED_BEHIND = "stopped as asked behind the last step; start again to evaluate and publish"


class StoppedError(MapringError):
    """The training was asked to end and did so after a checkpoint."""

    exit_code = 143  # 128 + SIGTERM, as shells report it


class StopRequest:
    """Remembers a SIGTERM or SIGUSR1, so that the step in progress can be finished first.

    SIGUSR1 is what mpirun passes on to its ranks, and what schedulers send ahead of the end of a job's time.
    """

    def __init__(self) -> None:
        self.received = False
        for number in _TO_STOP:
            signal.signal(number, self._remember)

    def end_at_once(self) -> None:
        """From here on such a signal ends the process: nothing is left that would have to be finished first."""
        for number in _TO_STOP:
            signal.signal(number, _end)

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        self.received = True


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.stderr.write(f"error: {_STOPPED_BEHIND}\n")
    sys.stderr.flush()
    os._exit(StoppedError.exit_code)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training is made of, ready to run; the same on every rank but for the ring and the lanes."""

    plan: Plan
    task: Task
    ring: Ring
    reader: ShardReader | ReplayReader
    model: nn.Module
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    checkpoints: Checkpoints
    head: tuple[str, ...]  # modules that the pretrained model did not bring

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.reader.steps * self.plan.settings.train.epochs


def run_training(training: Training, cursor: Cursor, stop: StopRequest, trackers: Sequence[Tracker] = ()) -> Cursor:
    """Train from the cursor to the end, or until patience is out; the cursor of the last step, whose checkpoint is
    published. Rank 0's `trackers` get the curves.

    Raises:
        StoppedError: SIGTERM or SIGUSR1 reached any rank; a checkpoint of the last whole step is published.
        AgreedError: a loss was not finite; the message names the last checkpoint.
        RingError: another rank ended.
        RegroupError: ranks wait to join or are to leave; a checkpoint of the last whole step is published.
    """
    rank, total = training.ring.rank, training.total_steps
    directory, settings = training.plan.training_directory, training.plan.settings.train
    log = MetricsLog(directory, done=cursor.step, trackers=trackers) if rank == 0 else None
    samples = SampleLog(directory, training.ring, done=cursor.step) if settings.log_samples else None
    progress = Progress("train", "training", total, "steps")
    every = settings.checkpoint_every_steps
    last_saved = cursor.step
    try:
        while cursor.step < total and not is_out_of_patience(settings, cursor):
            epoch, first = divmod(cursor.step, training.reader.steps)
            before = time.perf_counter()
            then = epoch + 1 if (epoch + 1) * training.reader.steps < total else None
            for batch in training.reader.epoch(epoch, first, then=then):
                waited = time.perf_counter() - before
                result = training.stepper.step(cursor.step, batch, stop=stop.received)
                now = time.perf_counter()
                cursor = _advance(cursor, epoch, result, now - before)
                if log is not None:
                    _report(log, progress, cursor, result, now - before, waited)
                if samples is not None:
                    samples.add(cursor.step, epoch, batch.doc_ids)
                is_due = cursor.step % every == 0 or cursor.step == total or is_counted(settings, cursor.step, total)
                if result.stop or result.regroup or is_due:
                    for part in (log, samples):
                        if part is not None:
                            part.flush()  # before the checkpoint, behind which no start takes these steps again
                    cursor = _save(training, cursor, log, has_time=not (result.stop or result.regroup))
                    last_saved = cursor.step
                if is_out_of_patience(settings, cursor):
                    break
                if result.stop and cursor.step < total:
                    raise StoppedError(f"stopped as asked after step {cursor.step}; start again to go on from there")
                if result.regroup and cursor.step < total:
                    raise RegroupError(f"the ranks change after step {cursor.step}; going on from its checkpoint")
                before = time.perf_counter()
    except AgreedError as error:
        where = f"the last checkpoint is step {last_saved}" if last_saved else "there is no checkpoint yet"
        raise AgreedError(f"{error}; {where}") from None
    finally:
        if log is not None:
            log.close()
    return cursor


def _advance(cursor: Cursor, epoch: int, result: StepResult, seconds: float) -> Cursor:
    return replace(
        cursor,
        step=cursor.step + 1,
        epoch=epoch,
        loss=result.loss,
        rows=cursor.rows + result.rows,
        tokens=cursor.tokens + result.tokens,
        seconds=cursor.seconds + seconds,
    )


def _report(
    log: MetricsLog, progress: Progress, cursor: Cursor, result: StepResult, seconds: float, waited: float
) -> None:
    """Write one step, which took `seconds`, of which the training `waited` for its batch."""
    log.write(
        StepMetrics(
            step=cursor.step,
            epoch=cursor.epoch,
            loss=result.loss,
            learning_rate=result.learning_rate,
            grad_norm=result.gradient_norm,
            samples_per_second=result.rows / seconds,
            tokens_per_second=result.tokens / seconds,
            padding_share=1 - result.tokens / max(1, result.cells),
            allreduce_share=result.allreduce_seconds / seconds,
            reader_share=waited / seconds,
            seconds=seconds,
            memory_rss_mb=memory_rss_mb(),
        )
    )
    progress.update(cursor.step, f"loss {result.loss:.3f}  {cursor.rows / cursor.seconds:.0f} samples/s")


def _save(training: Training, cursor: Cursor, log: MetricsLog | None, *, has_time: bool) -> Cursor:
    """Publish a checkpoint of weights that all ranks agree on; none goes on before it stands.

    Where the ranks are to stop there may be seconds left: it is not evaluated first, unless its loss counts.

    Returns:
        The cursor, with the validation loss counted where it counts.
    """
    settings = training.plan.settings.train
    counts = is_counted(settings, cursor.step, training.total_steps)
    check_same(training.ring, f"the weights after step {cursor.step}", list(state_tensors(training.model).values()))
    is_evaluated = counts or (settings.evaluate_checkpoints and has_time)
    loss = _validation_loss(training, cursor, log) if is_evaluated else None
    if counts:
        if loss is None:
            raise AgreedError(no_validation_rows(training.plan.shards_directory))
        cursor = after_evaluation(cursor, loss)
    elif settings.patience:
        loss = None  # it stands in the curves; the best checkpoint is one of those that count
    first_rank_only(
        training.ring,
        lambda: training.checkpoints.save(training.model, training.optimizer, cursor, loss),
        may_take_long=True,
    )
    return cursor


def end_if_asked(ring: Ring, stop: StopRequest) -> None:
    """Behind the last step, whose checkpoint stands, between two things that take long.

    Raises:
        StoppedError: on all ranks, where any of them was asked to end.
    """
    asked = torch.tensor([int(stop.received)])
    ring.allreduce_sum([asked])
    if asked:
        raise StoppedError(_STOPPED_BEHIND)


def no_validation_rows(directory: str) -> str:
    """What is told where patience has no loss to look at."""
    return (
        f"{directory}: found no validation row that counts, which train.patience needs; give some documents to the "
        "validation split, or set train.patience=0"
    )


def _validation_loss(training: Training, cursor: Cursor, log: MetricsLog | None) -> float | None:
    """Mean loss on the validation split, None where no row counts; all its figures go to the curves."""
    shards = training.plan.shards_directory
    found = training.task.evaluate(training.model, training.ring, shards, "validation")
    if found["loss"] is None:
        return None
    if log is not None:
        figures = {name: value for name, value in found.items() if isinstance(value, float)}
        log.write_validation(cursor.step, training.total_steps, figures)
    return float(found["loss"])


def take_best(training: Training, cursor: Cursor) -> None:
    """Give every rank the weights of the cursor's best step, and say why the training ended.

    Raises:
        AgreedError: its checkpoint is not there or damaged.
    """
    first_rank_only(
        training.ring,
        lambda: training.checkpoints.load_weights(cursor.best_step, training.model),
        may_take_long=True,
    )
    training.ring.broadcast_tensors(list(state_tensors(training.model).values()))
    if training.ring.rank == 0:
        early = cursor.step < training.total_steps
        why = f"stopped early, {cursor.without_gain} evaluations without a gain" if early else "all steps done"
        say(
            "train",
            f"{why}, after step {cursor.step} of {training.total_steps}; the model is that of step {cursor.best_step}, "
            f"validation loss {cursor.least_loss:.4f}",
        )


def tell_resumed(cursor: Cursor, world_size: int) -> None:
    """Say from where a training goes on."""
    note = f" (written by {cursor.world_size} ranks)" if cursor.world_size != world_size else ""
    say("train", f"going on from the checkpoint of step {cursor.step}{note}")
