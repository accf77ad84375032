"""The learning rate as a pure function of the step."""

from __future__ import annotations


def learning_rate(step: int, total: int, peak: float, warmup_share: float) -> float:
    """Rate of optimizer step 0..total-1: a straight rise over the first steps, then a straight fall towards 0."""
    warmup = round(total * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (total - step) / max(1, total - warmup)
