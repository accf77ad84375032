"""One optimizer step over the ring: forward, backward, sum, divide once, clip, update."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from mapring.settings.train import Train
from training.augmentation import Augmenter
from training.compiled import compiled
from training.device import device_of, wait_for
from training.dropout_masks import dropout_of
from training.embedding_gradients import adding_by_rows, row_wise_embeddings
from training.gradients import FlatGradients
from training.methods import after_step, penalty
from training.model import trainable_parameters
from training.padding import MICRO_BATCH_TOKENS
from training.reader import Batch
from training.ring import Ring
from training.ring.interface import AgreedError
from training.schedule import learning_rate, peak_rate
from training.tasks.interface import Task

Arithmetic = Literal["fp32", "bf16"]

_EXTRA = 7  # summed along with the gradients: loss, weight, rows, tokens, padded cells, wishes to stop and to regroup


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one step did, the same on every rank but for the times.

    `loss` is the mean over what the task counts in the global batch, such as rows or tokens; `seconds` and
    `allreduce_seconds` are this rank's; `stop` tells whether any rank was asked to end,
    `regroup` whether any was told that ranks come or go.
    """

    loss: float
    gradient_norm: float
    learning_rate: float
    rows: int
    tokens: int
    cells: int
    seconds: float
    allreduce_seconds: float
    stop: bool
    regroup: bool


def autocast(precision: Arithmetic, device: torch.device) -> torch.autocast:
    """Forward in this precision; weights, gradients and optimizer state stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """A seed for the random state of one step, so that a resumed run needs no stored state."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


class Stepper:
    """Takes optimizer steps; all ranks hold the same weights before and after each.

    Args:
        steps_an_epoch: steps of one epoch; the learning rate's schedule spans all epochs.
        augmenter: changes the rows of each batch before they are used.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ring: Ring,
        settings: Train,
        *,
        seed: int,
        steps_an_epoch: int,
        precision: Arithmetic,
        augmenter: Augmenter | None = None,
    ) -> None:
        self._task, self._model, self._optimizer = task, model, optimizer
        self._ring, self._settings = ring, settings
        self._seed, self._epoch_steps, self._precision = seed, steps_an_epoch, precision
        self._augmenter = augmenter
        self._device = device_of(model)
        self._computing = compiled(model) if settings.compile else model
        self._dropout = dropout_of(settings, self._device)
        embeddings = row_wise_embeddings(model)
        self._added_by_rows = [] if settings.compile else embeddings  # the compiler knows no sparse gradients
        self._gradients = FlatGradients(trainable_parameters(model), _EXTRA, embeddings)

    def step(self, number: int, batch: Batch, *, stop: bool = False) -> StepResult:
        """Take step `number` (from 0) on this rank's part of a global batch, which may be empty.

        Gradients are summed over all rows of all ranks, then divided once by what the loss is a sum over: the result
        is that of one process with the whole batch.

        Raises:
            AgreedError: loss or gradient norm is not finite.
        """
        began = time.perf_counter()
        self._gradients.zero()
        self._backward(number, batch)
        self._gradients.extra[5] = float(stop)
        self._gradients.extra[6] = float(self._ring.members_changed())
        wait_for(self._device)
        sent = time.perf_counter()
        self._gradients.sum_over(self._ring, self._settings.wire)
        received = time.perf_counter()
        loss_sum, weight, rows, tokens, cells, stops, regroups = self._gradients.extra.tolist()
        total = self._epoch_steps * self._settings.epochs
        rate = learning_rate(
            number, total, peak_rate(self._settings), self._settings.warmup_share, self._settings.schedule
        )
        share = 1.0 / (weight or 1.0)
        norm, loss = self._gradients.norm() * share, loss_sum * share
        if not math.isfinite(norm) or not math.isfinite(loss):
            raise AgreedError(
                f"step {number + 1}: found loss {loss} and gradient norm {norm}, expected finite numbers; "
                "lower train.learning_rate or set train.precision=fp32"
            )
        # Both factors in one pass over the gradients.
        self._gradients.scale(share * min(1.0, self._settings.clip_norm / (norm or 1.0)))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        after_step(self._model, number)
        return StepResult(
            loss=loss,
            gradient_norm=norm,
            learning_rate=rate,
            rows=int(rows),
            tokens=int(tokens),
            cells=int(cells),
            seconds=time.perf_counter() - began,
            allreduce_seconds=received - sent,
            stop=stops > 0,
            regroup=regroups > 0,
        )

    def _backward(self, number: int, batch: Batch) -> None:
        """Sum this rank's gradients into the flat buffers, and its counts behind them."""
        self._model.train()
        torch.manual_seed(_dropout_seed(self._seed, number, self._ring.rank))
        extra = self._gradients.extra
        epoch = number // self._epoch_steps
        if self._augmenter is not None:
            batch = self._augmenter(batch, epoch)
        for piece in self._task.pieces(batch, self._model, epoch, MICRO_BATCH_TOKENS):
            piece = piece.on(self._device)
            with self._dropout(), adding_by_rows(self._added_by_rows), autocast(self._precision, self._device):
                loss, weight = self._task.loss(self._computing, piece)
                added = penalty(self._model)
            # A penalty counts once in the mean, so in each piece as often as what the piece is a sum over.
            whole = loss if added is None else loss + weight * added
            whole.backward()  # type: ignore[no-untyped-call]
            extra[0] += loss.detach()
            extra[1] += weight
            extra[2] += len(piece.rows)
            extra[3] += piece.tokens
            extra[4] += piece.cells
