"""The Spark session of a job, and its progress."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark import SparkConf, SparkContext, StatusTracker
from pyspark.sql import SparkSession

from mapring.machine import LOCAL_MASTER
from mapring.progress import Progress
from mapring.settings import Settings

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator

_POLL_SECONDS = 1.0
_NUMBERS = itertools.count()

_STARTED_BY_SPARK_SUBMIT = "PYSPARK_GATEWAY_PORT"
_ATTEMPTS = "spark.task.maxFailures"

# Defaults of ours; spark-submit's --conf and the settings' spark.conf come first.
_DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.requireAllClusterKeysForCoPartition": "false",  # texts stay where their content hash has put them
    "spark.sql.inMemoryColumnarStorage.compressed": "false",  # of text and hashes it saves little and costs a fifth
    "spark.python.worker.faulthandler.enabled": "true",
    _ATTEMPTS: "4",
}
# Of a machine alone, whose partitions are fitted to its cores: to plan each stage again when those before it are done
# took 1.1 of 22 s of a preprocessing. On a cluster it is left on, for parts that are larger than others there.
_DEFAULTS_OF_ONE_MACHINE = {"spark.sql.adaptive.enabled": "false"}


def start_session(settings: Settings, stage: str) -> SparkSession:
    """Start (or join) the Spark session of one stage."""
    given = _given_to_spark_submit()
    master = given.get("spark.master", settings.spark.master)
    chosen = {**defaults_of(master), **settings.spark.conf, **given}
    master = with_retries(master, chosen[_ATTEMPTS])
    builder = SparkSession.builder.appName(f"mapring {settings.name} {stage}").master(master)
    for key in chosen.keys() - given.keys():
        builder = builder.config(key, chosen[key])
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def defaults_of(master: str) -> dict[str, str]:
    """Ours, by Spark's names, under a master."""
    return {**_DEFAULTS, **(_DEFAULTS_OF_ONE_MACHINE if LOCAL_MASTER.fullmatch(master) else {})}


def _given_to_spark_submit() -> dict[str, str]:
    """What spark-submit was told; nothing where this process was started without it."""
    if _STARTED_BY_SPARK_SUBMIT not in os.environ:
        return {}
    SparkContext._ensure_initialized()  # only the JVM knows; until it is asked, a SparkConf is empty
    return dict(SparkConf().getAll())


def with_retries(master: str, attempts: str) -> str:
    """A local master with as many attempts at each task as a cluster makes; any other, or with its own, as it is.

    Spark reads `spark.task.maxFailures` on clusters only: under its own `local[N]` one killed Python worker
    ends the job.
    """
    found = LOCAL_MASTER.fullmatch(master)
    if found is None or found.group(2) is not None:
        return master
    return f"local[{found.group(1) or 1},{attempts}]"


def partitions(spark: SparkSession) -> int:
    """Shuffle partitions, as `fit_session` chose them."""
    return int(spark.conf.get("spark.sql.shuffle.partitions") or 1)


@contextmanager
def watch(
    spark: SparkSession, stage: str, task: str, rows: Accumulator[int] | None = None, *, documents: int | None = None
) -> Iterator[None]:
    """Print finished and total tasks, documents, documents/s, and the time still needed, while the body runs jobs.

    `rows` counts documents of finished tasks. Without it `documents` says how many the body works on in all, for the
    speed told at its end. Tasks of jobs that Spark has not yet planned are not in the total.
    """
    group = f"{stage}: {task} {next(_NUMBERS)}"  # or jobs of an earlier step of this name would be counted too
    spark.sparkContext.setJobGroup(group, f"{stage}: {task}")
    progress = Progress(stage, task, 0, "tasks")
    done = threading.Event()
    poller = threading.Thread(target=_poll, args=(spark, progress, group, rows, done), daemon=True)
    poller.start()
    try:
        yield
    finally:
        done.set()
        poller.join()
    progress.finish(documents if rows is None else rows.value)


def _poll(
    spark: SparkSession, progress: Progress, group: str, rows: Accumulator[int] | None, done: threading.Event
) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(_POLL_SECONDS):
        completed, progress.total = _count_tasks(tracker, group)
        if progress.total:
            progress.update(completed, documents=None if rows is None else rows.value)


def _count_tasks(tracker: StatusTracker, group: str) -> tuple[int, int]:
    """Completed and all tasks of a group's jobs. Stages that a job skipped, their output being there, count as done."""
    completed = total = 0
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage_id in info.stageIds if info else ():
            found = tracker.getStageInfo(stage_id)
            if info is not None and found is not None:
                total += found.numTasks
                completed += found.numTasks if info.status == "SUCCEEDED" else found.numCompletedTasks
    return completed, total
