"""The predictor of a task: a published model on what Spark gives the task to compute with."""

from __future__ import annotations

from spark_jobs.predictor import Predictor, load_predictor
from spark_jobs.task_device import say_unused, task_device, task_threads


def load_task_predictor(
    model_directory: str,
    batch_tokens: int,
    backend_directory: str | None = None,
    bank_directory: str | None = None,
    *,
    vectors: bool = False,
) -> Predictor:
    """The predictor of this Python worker, loaded at the first call; arguments as those of `load_predictor`."""
    device = task_device()
    found = load_predictor(
        model_directory, task_threads(), batch_tokens, backend_directory, device, bank_directory, vectors
    )
    if found.task in ("embed", "clm"):
        say_unused(device, f"models of task {found.task}")
    return found
