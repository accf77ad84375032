"""What Spark gives a task to compute with: its cores, and a GPU or none."""

from __future__ import annotations

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


def say_unused(device: str, what: str) -> None:
    """Say where Spark gives a task a GPU that is not used: only torch's classifiers compute on one."""
    if device != "cpu":
        say("score", f"{what} compute on the CPU: the GPU {device} that Spark gives this task is not used")
