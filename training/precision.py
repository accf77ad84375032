"""Choosing the arithmetic of forward and backward by measuring it on this machine."""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.nn import functional

from training.model import config_of
from training.padding import MICRO_BATCH_TOKENS
from training.ring import Ring
from training.step import Arithmetic, autocast

MIN_SPEEDUP = 1.1  # bf16 must be worth its rounding
_TRIALS, _MOST_SECONDS = 5, 2.0


def choose_precision(model: nn.Module, ring: Ring, *, rows: int, length: int) -> tuple[Arithmetic, float]:
    """Time fp32 and bf16 on a batch of `rows` rows of `length` tokens, and take bf16 if it is 1.1x faster.

    Every rank computes at the same time, as in training; rank 0's clock decides for all.

    Returns:
        The precision and the measured speedup of bf16 over fp32.
    """
    seconds = {
        precision: _seconds(model, precision, max(1, min(rows, MICRO_BATCH_TOKENS // length)), length)
        for precision in ("fp32", "bf16")
    }
    speedup = float(ring.broadcast_object(seconds["fp32"] / seconds["bf16"]))
    return ("bf16" if speedup >= MIN_SPEEDUP else "fp32"), speedup


def _seconds(model: nn.Module, precision: Arithmetic, rows: int, length: int) -> float:
    """Shortest time of a forward and backward, of at most 5 trials or 2 seconds after a warm-up."""
    ids = torch.arange(rows * length).remainder(int(config_of(model).vocab_size)).reshape(rows, length)  # (B, T)
    labels = torch.zeros(rows, dtype=torch.int64)
    model.train()
    best, began = float("inf"), 0.0
    for trial in range(_TRIALS + 1):
        start = time.perf_counter()
        with autocast(precision):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits  # (B, C)
        functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        end = time.perf_counter()
        if trial == 0:
            began = end
            continue
        best = min(best, end - start)
        if end - began > _MOST_SECONDS:
            break
    model.zero_grad(set_to_none=True)
    return best
