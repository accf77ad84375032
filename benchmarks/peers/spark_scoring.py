"""Scoring in Spark without mapring: `python -m benchmarks.peers.spark_scoring VARIANT JOB`.

    batch_udf   `predict_batch_udf`, batches of 32 padded to their longest text
    padded      the same, padded to the model's `max_length`
    pipeline    a transformers pipeline inside mapInPandas, in batches of 32

The model is loaded once in each worker, where the first two have Spark's own cache for it, and uses
`spark.task.cpus` threads. JOB: see `spark_runs.py`; here also `stock`, a transformers directory, and `max_length`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql.types import ArrayType, DoubleType, FloatType, StringType, StructField, StructType

from benchmarks.peers.spark_runs import Job, Predict, read_job, run_in_spark
from benchmarks.peers.stock_model import BATCH, StockModel, text_pipeline

RESULT = StructType(
    [
        StructField("label", StringType()),
        StructField("score", DoubleType()),
        StructField("probabilities", ArrayType(FloatType())),
    ]
)


def by_batch_udf(job: Job, padding: str) -> Predict:
    """Predictions of `predict_batch_udf`; one UDF for all frames, since its cache of models knows a UDF and no path."""
    directory, max_length, threads = job["stock"], job["max_length"], job["threads"]

    def make_predict_fn() -> Callable[[np.ndarray], dict[str, Any]]:
        model = StockModel(directory, max_length, threads)
        return lambda texts: model.predict(texts, padding)

    udf = predict_batch_udf(make_predict_fn, return_type=RESULT, batch_size=BATCH)
    return lambda frame: frame.select("id", udf("text").alias("p"))


def by_pipeline(job: Job) -> Predict:
    """Predictions of a pipeline that a worker keeps."""
    directory, max_length, threads = job["stock"], job["max_length"], job["threads"]

    def predict(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        pipe = text_pipeline(directory, max_length, threads)
        for frame in frames:
            found = pipe(
                frame["text"].tolist(), batch_size=job["batch"], top_k=None, truncation=True, max_length=max_length
            )
            best = [row[0] for row in found]  # the highest score comes first
            scores = [{entry["label"]: entry["score"] for entry in row} for row in found]
            values = [
                {"label": top["label"], "score": top["score"], "probabilities": [row[name] for name in sorted(row)]}
                for top, row in zip(best, scores, strict=True)
            ]
            yield pd.DataFrame({"id": frame["id"], "p": values})

    schema = f"id long, p {RESULT.simpleString()}"
    return lambda frame: frame.mapInPandas(predict, schema)


def main() -> None:
    """Run the variant that the command line names."""
    job = read_job()
    variants: dict[str, Callable[[], Predict]] = {
        "batch_udf": lambda: by_batch_udf(job, "longest"),
        "padded": lambda: by_batch_udf(job, "max_length"),
        "pipeline": lambda: by_pipeline(job),
    }
    run_in_spark(job, variants[sys.argv[1]])


if __name__ == "__main__":
    main()
