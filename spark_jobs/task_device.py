"""What Spark gives a task to compute with: its cores, and a GPU or none."""

from __future__ import annotations

from functools import cache

from pyspark import TaskContext

from mapring.progress import say


def task_device() -> str:
    """`cuda:N` for the first address of the task's resource `gpu`, else `cpu`; `cpu` outside a task.

    Spark gives a task a GPU where `spark.task.resource.gpu.amount` asks for one.
    """
    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    return f"cuda:{gpu.addresses[0]}" if gpu is not None and gpu.addresses else "cpu"


def task_threads() -> int:
    """Cores that Spark gives the running task (`spark.task.cpus`); 1 outside a task."""
    context = TaskContext.get()
    return context.cpus() if context is not None else 1


@cache
def say_unused(device: str, what: str) -> None:
    """Say once in each Python worker that Spark gives a task a GPU which only torch's classifiers would use."""
    if device != "cpu":
        say("score", f"{what} compute on the CPU: the GPU {device} that Spark gives this task is not used")
