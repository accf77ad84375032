"""When a training ends before its last planned step: an integer count of evaluations, kept in the cursor.

What counts are evaluations at multiples of `patience_steps` and at the end, never those of checkpoints that hang on
when a training was stopped or how often it is stored: so one that was interrupted ends where it would have ended.
"""

from __future__ import annotations

from dataclasses import replace

from mapring.settings.train import Train
from training.checkpoint import Cursor


def is_counted(settings: Train, step: int, total: int) -> bool:
    """Whether the validation loss behind this step counts."""
    return settings.patience > 0 and (step % settings.patience_steps == 0 or step == total)


def after_evaluation(cursor: Cursor, loss: float) -> Cursor:
    """The cursor with one more validation loss counted; an equal one is no gain."""
    if cursor.least_loss is None or loss < cursor.least_loss:
        return replace(cursor, least_loss=loss, best_step=cursor.step, without_gain=0)
    return replace(cursor, without_gain=cursor.without_gain + 1)


def is_out_of_patience(settings: Train, cursor: Cursor) -> bool:
    """Whether the training ends here; the same on all ranks, which have one cursor."""
    return 0 < settings.patience <= cursor.without_gain
