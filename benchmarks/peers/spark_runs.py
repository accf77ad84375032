"""One run of a way to score in Spark: its first result, a warm-up, a pass against the clock; knows neither side.

The job is a JSON object: `texts`, a Parquet file with columns id and text; `rows` of it to score; `warm_rows` of these
for the warm-up; `partitions`; `tasks` at a time with `threads` each; `began`, the time at which the process was
started; `answers`, a file for the labels of the first `answer_rows`, which may be none; and what a side needs besides.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

Job = dict[str, Any]
Predict = Callable[[DataFrame], DataFrame]


def read_job() -> Job:
    """The job that the last word of the command line is the file of."""
    job: Job = json.loads(Path(sys.argv[-1]).read_text())
    return job


def run_in_spark(
    job: Job, make_predict: Callable[[], Predict], after: Callable[[SparkSession], dict[str, Any]] | None = None
) -> None:
    """Measure and write `output` of the job: `rows`, `seconds` and `first_seconds`, and what `after` finds.

    The texts lie in Spark's cache. The first result is that of one row, from the start of the process on. The warm-up
    loads the model in every worker right before the pass: Spark ends workers that idle for a minute. The pass
    goes to Spark's noop sink. Labels, where wanted, are collected before it.

    Args:
        job: see above.
        make_predict: called once there is a session; what it gives turns columns id and text into id and `p`, a struct
            of label, score and probabilities.
        after: looks into the session at the end.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("scoring").master(f"local[{job['tasks'] * job['threads']}]")
    builder = builder.config("spark.task.cpus", job["threads"]).config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.driver.memory", "1g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    predict = make_predict()
    predict(spark.read.parquet(job["texts"])).limit(1).collect()
    first_seconds = time.time() - job["began"]
    texts = _first_texts(spark, job, job["rows"])
    if job["answer_rows"]:
        found = predict(_first_texts(spark, job, job["answer_rows"])).select("id", "p.label", "p.probabilities")
        pq.write_table(found.orderBy("id").toArrow(), job["answers"])
    _pass(predict(_first_texts(spark, job, job["warm_rows"])))
    began = time.perf_counter()
    _pass(predict(texts))
    seconds = time.perf_counter() - began
    values = {"rows": job["rows"], "seconds": seconds, "first_seconds": first_seconds}
    values.update({} if after is None else after(spark))
    Path(job["output"]).write_text(json.dumps(values))
    spark.stop()


def _first_texts(spark: SparkSession, job: Job, rows: int) -> DataFrame:
    """As many texts in Spark's cache."""
    texts = spark.read.parquet(job["texts"]).where(F.col("id") < rows).select("id", "text")
    cached = texts.repartition(job["partitions"]).cache()
    assert cached.count() == rows, "the file holds fewer rows"
    return cached


def _pass(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()
