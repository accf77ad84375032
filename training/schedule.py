"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from mapring.settings.train import ScheduleName, Train

_USUAL_BATCH = 32  # for which rates are given where they are scaled


def peak_rate(settings: Train) -> float:
    """The highest rate, scaled by the global batch: linearly (Goyal et al. 2017) or by its root (Krizhevsky 2014)."""
    times = settings.global_batch / _USUAL_BATCH
    factor = {"none": 1.0, "linear": times, "square_root": math.sqrt(times)}[settings.scale_learning_rate]
    return settings.learning_rate * factor


def learning_rate(step: int, total: int, peak: float, warmup_share: float, schedule: ScheduleName = "linear") -> float:
    """Rate of optimizer step 0..total-1: a straight rise over the first steps, then the schedule.

    `linear` is a straight fall towards 0, `cosine` half a cosine (Loshchilov and Hutter 2017), `constant` no fall.
    """
    warmup = round(total * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
    return peak * (total - step) / max(1, total - warmup)
