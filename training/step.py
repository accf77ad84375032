"""One optimizer step over the ring: forward, backward, sum, divide once, clip, update."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mapring.settings.schema import Train
from training.gradients import FlatGradients
from training.model import config_of, trainable_parameters
from training.padding import micro_batches
from training.reader import NO_LABEL, Batch
from training.ring import Ring
from training.ring.interface import AgreedError
from training.schedule import learning_rate

Arithmetic = Literal["fp32", "bf16"]

_EXTRA = 6  # summed along with the gradients: loss, labelled rows, tokens, padded cells, wishes to stop and to regroup


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one step did, the same on every rank but for the times.

    `loss` is the mean over the labelled rows of the global batch; `seconds` and
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


def autocast(precision: Arithmetic) -> torch.autocast:
    """Forward in this precision; weights, gradients and optimizer state stay fp32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def make_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW whose state exists from the start, so that loading and broadcasting it is a plain copy.

    Weight decay is for matrices; biases and norm weights have none.
    """
    parameters = trainable_parameters(model)
    optimizer = torch.optim.AdamW(
        [
            {"params": [item for item in parameters if item.ndim >= 2], "weight_decay": weight_decay},
            {"params": [item for item in parameters if item.ndim < 2], "weight_decay": 0.0},
        ],
        lr=0.0,
        fused=True,
    )
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """A seed for the random state of one step, so that a resumed run needs no stored state."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


class Stepper:
    """Takes optimizer steps; all ranks hold the same weights before and after each.

    Args:
        total_steps: steps of the whole training, which the learning rate schedule spans.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.AdamW,
        ring: Ring,
        settings: Train,
        *,
        seed: int,
        total_steps: int,
        precision: Arithmetic,
    ) -> None:
        self._model, self._optimizer, self._ring, self._settings = model, optimizer, ring, settings
        self._seed, self._total, self._precision = seed, total_steps, precision
        self._pad = int(config_of(model).pad_token_id)
        self._gradients = FlatGradients(trainable_parameters(model), _EXTRA)

    def step(self, number: int, batch: Batch, *, stop: bool = False) -> StepResult:
        """Take step `number` (from 0) on this rank's part of a global batch, which may be empty.

        Gradients are summed over all rows of all ranks, then divided once by the number of labelled
        rows: the result is that of one process with the whole batch.

        Raises:
            AgreedError: loss or gradient norm is not finite.
        """
        began = time.perf_counter()
        self._gradients.zero()
        self._backward(number, batch)
        self._gradients.extra[4] = float(stop)
        self._gradients.extra[5] = float(self._ring.members_changed())
        sent = time.perf_counter()
        self._gradients.sum_over(self._ring, self._settings.wire)
        received = time.perf_counter()
        loss_sum, rows, tokens, cells, stops, regroups = self._gradients.extra.tolist()
        rate = learning_rate(number, self._total, self._settings.learning_rate, self._settings.warmup_share)
        self._gradients.scale(1.0 / max(rows, 1.0))
        norm, loss = self._gradients.norm(), loss_sum / max(rows, 1.0)
        if not math.isfinite(norm) or not math.isfinite(loss):
            raise AgreedError(
                f"step {number + 1}: found loss {loss} and gradient norm {norm}, expected finite numbers; "
                "lower train.learning_rate or set train.precision=fp32"
            )
        if norm > self._settings.clip_norm:
            self._gradients.scale(self._settings.clip_norm / norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
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
        for piece in micro_batches(batch, self._pad):
            with autocast(self._precision):
                logits = self._model(input_ids=piece.input_ids, attention_mask=piece.attention_mask).logits  # (B, C)
            loss = functional.cross_entropy(logits.float(), piece.labels, reduction="sum")
            loss.backward()  # type: ignore[no-untyped-call]
            extra[0] += loss.detach()
            extra[1] += int((piece.labels != NO_LABEL).sum())
            extra[2] += int(piece.attention_mask.sum())
            extra[3] += piece.input_ids.numel()
