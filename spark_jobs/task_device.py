"""Where a task's model computes: the GPU that Spark gave it, else the CPU."""

from __future__ import annotations

from pyspark import TaskContext


def task_device() -> str:
    """`cuda:N` for the first address of the task's resource `gpu`, else `cpu`; `cpu` outside a task.

    Spark gives a task a GPU where `spark.task.resource.gpu.amount` asks for one.
    """
    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    return f"cuda:{gpu.addresses[0]}" if gpu is not None and gpu.addresses else "cpu"
