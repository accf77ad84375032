"""The Spark session of a job, and its progress."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark import SparkConf
from pyspark.sql import SparkSession

from mapring.progress import Progress
from mapring.settings import Settings

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator

_POLL_SECONDS = 1.0

# Defaults of ours; spark-submit's --conf and the settings' spark.conf come first.
_DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.requireAllClusterKeysForCoPartition": "false",  # texts stay where their content hash has put them
    "spark.sql.inMemoryColumnarStorage.compressed": "false",  # of text and hashes it saves little and costs a fifth
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(64 << 20),
    "spark.python.worker.faulthandler.enabled": "true",
}


def start_session(settings: Settings, stage: str) -> SparkSession:
    """Start (or join) the Spark session of one stage."""
    given = SparkConf()
    builder = SparkSession.builder.appName(f"mapring {settings.name} {stage}")
    if not given.contains("spark.master"):
        builder = builder.master(settings.spark.master)
    for key, value in {**_DEFAULTS, **settings.spark.conf}.items():
        if not given.contains(key):
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions(spark, settings)))
    return spark


def partitions(spark: SparkSession, settings: Settings) -> int:
    """Shuffle partitions: as set, else twice the cores, so that one slow task does not idle the others."""
    return settings.spark.partitions or 2 * spark.sparkContext.defaultParallelism


@contextmanager
def watch(spark: SparkSession, stage: str, task: str, rows: Accumulator[int] | None = None) -> Iterator[None]:
    """Print finished and total tasks, rows so far, and the time still needed, while the body runs a job.

    `rows` counts rows of finished tasks.
    """
    group = f"{stage}: {task}"
    spark.sparkContext.setJobGroup(group, group)
    done = threading.Event()
    poller = threading.Thread(target=_poll, args=(spark, stage, task, group, rows, done), daemon=True)
    poller.start()
    try:
        yield
    finally:
        done.set()
        poller.join()


def _poll(
    spark: SparkSession, stage: str, task: str, group: str, rows: Accumulator[int] | None, done: threading.Event
) -> None:
    tracker = spark.sparkContext.statusTracker()
    progress: Progress | None = None
    while not done.wait(_POLL_SECONDS):
        total = completed = 0
        for job in tracker.getJobIdsForGroup(group):
            info = tracker.getJobInfo(job)
            for stage_id in info.stageIds if info else ():
                stage_info = tracker.getStageInfo(stage_id)
                if stage_info is not None:
                    total += stage_info.numTasks
                    completed += stage_info.numCompletedTasks
        if not total:
            continue
        progress = progress or Progress(stage, task, total, "tasks")
        progress.total = total
        progress.update(completed, f"{rows.value:,} rows" if rows is not None else "")
