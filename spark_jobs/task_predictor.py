"""The predictor of a task: a published model on what Spark gives the task to compute with."""

from __future__ import annotations

from spark_jobs.predictor import Predictor, load_predictor
from spark_jobs.task_device import task_device, task_threads


def load_task_predictor(
    model_directory: str,
    batch_tokens: int,
    backend_directory: str | None = None,
    bank_directory: str | None = None,
    *,
    vectors: bool = False,
) -> Predictor:
    """The predictor of this Python worker, loaded at the first call; arguments as those of `load_predictor`."""
    return load_predictor(
        model_directory, task_threads(), batch_tokens, backend_directory, task_device(), bank_directory, vectors
    )
