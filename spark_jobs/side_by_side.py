"""Spark jobs that need nothing of each other, run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

_Result = TypeVar("_Result")
_MOST_THREADS = 4  # more add nothing: what is planned in one is run beside what is planned in another


class SideBySide:
    """Steps that start when they are named and have all ended when the `with` block has.

    A step that plans, collects, or has one last long task leaves cores to the others. The first step that fails ends
    the jobs of all others, and its error leaves the block.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="spark-step")
        self._steps: list[Future[object]] = []

    def start(self, step: Callable[[], _Result]) -> Future[_Result]:
        """Start one step; its result is there after the block."""
        future = self._pool.submit(step)
        self._steps.append(future)  # type: ignore[arg-type]
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = None
        try:
            if error is None:
                done, _ = wait(self._steps, return_when=FIRST_EXCEPTION)
                failed = next((step for step in self._steps if step in done and step.exception()), None)
        finally:  # also where this thread was interrupted as it waited
            if error is not None or not all(step.done() for step in self._steps):
                self._pool.shutdown(wait=False, cancel_futures=True)
                with suppress(Py4JError, OSError):  # the JVM is gone, and all its jobs with it
                    self._spark.sparkContext.cancelAllJobs()
            self._pool.shutdown()
        if failed is not None:
            failed.result()
