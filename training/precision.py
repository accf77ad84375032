"""Choosing the arithmetic of forward and backward by measuring it on this machine."""

from __future__ import annotations

import time

from torch import nn

from training.device import HOST, device_of, wait_for
from training.model import config_of
from training.padding import MICRO_BATCH_TOKENS
from training.ring import Ring
from training.step import Arithmetic, autocast
from training.tasks.interface import Task

MIN_SPEEDUP = 1.1  # bf16 must be worth its rounding
# A core is as busy with these as with a whole batch: of 6 blocks, 384 wide, bf16 was 1.62 times as fast on 256 tokens
# and 1.69 on 4,096, which took 15 times as long to find out. A GPU is not: it is given the batch.
_TOKENS_ON_CORES = 256
_TRIALS = 2  # behind a warm-up; the first differs from the others by much more than those among themselves


def choose_precision(task: Task, model: nn.Module, ring: Ring, *, rows: int, length: int) -> tuple[Arithmetic, float]:
    """Time fp32 and bf16 on up to `rows` rows of `length` tokens, and take bf16 if it is 1.1x faster.

    Every rank computes at the same time, as in training; rank 0's clock decides for all.

    Returns:
        The precision and the measured speedup of bf16 over fp32.
    """
    most = _TOKENS_ON_CORES if device_of(model) == HOST else MICRO_BATCH_TOKENS
    tried = max(1, min(rows, most // length))
    seconds = {precision: _seconds(task, model, precision, tried, length) for precision in ("fp32", "bf16")}
    speedup = float(ring.broadcast_object(seconds["fp32"] / seconds["bf16"]))
    return ("bf16" if speedup >= MIN_SPEEDUP else "fp32"), speedup


def _seconds(task: Task, model: nn.Module, precision: Arithmetic, rows: int, length: int) -> float:
    """Shortest time of a forward and backward, of two trials behind a warm-up."""
    batch = task.sample_batch(rows, length, int(config_of(model).vocab_size))
    device = device_of(model)
    pieces = [piece.on(device) for piece in task.pieces(batch, model, 0, rows * length)]
    model.train()
    found = []
    for _ in range(_TRIALS + 1):
        start = time.perf_counter()
        for piece in pieces:  # one, but of pairs to embed, which stay in their groups
            with autocast(precision, device):
                loss, _ = task.loss(model, piece)
            loss.backward()  # type: ignore[no-untyped-call]
        wait_for(device)
        found.append(time.perf_counter() - start)
    model.zero_grad(set_to_none=True)
    return min(found[1:])
