"""Scoring in Spark by `mapring.predict_udf`: `python -m benchmarks.scoring.our_side JOB`.

JOB: see `benchmarks/peers/spark_runs.py`; here also `model`, a published model, and `arguments` of
`predict_udf` besides it. Also found is `loads`, how often each worker loaded the model, by its process id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

import mapring
from benchmarks.peers.spark_runs import Predict, read_job, run_in_spark
from spark_jobs.predictor import load_predictor

_LOOKS = 4  # for each worker: tasks that only look, spread over all of them


def main() -> None:
    """Run the job."""
    job = read_job()

    def make_predict() -> Predict:
        udf = mapring.predict_udf(job["model"], **job["arguments"])
        return lambda frame: frame.select("id", udf("text").alias("p"))

    run_in_spark(job, make_predict, lambda spark: {"loads": _loads(spark, job["tasks"])})


def _loads(spark: SparkSession, workers: int) -> dict[int, int]:
    """How often each worker of the session that scored has loaded a model, by process id."""

    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            time.sleep(0.2)  # so that one worker cannot take all tasks
        values = {"process": [os.getpid()], "loads": [load_predictor.cache_info().misses]}
        yield pa.RecordBatch.from_pydict(values)

    tasks = workers * _LOOKS
    found = spark.range(tasks, numPartitions=tasks).mapInArrow(look, "process long, loads long").toArrow()
    loads = dict(zip(found["process"].to_pylist(), found["loads"].to_pylist(), strict=True))
    return {process: count for process, count in loads.items() if count}


if __name__ == "__main__":
    main()
