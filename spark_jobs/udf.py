"""`mapring.predict_udf`: a published model as a pandas UDF for anybody's own Spark job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.pandas.functions import pandas_udf

from mapring.contract import read_manifest
from spark_jobs.predictor import Predictor, load_predictor
from spark_jobs.records import EMPTY

if TYPE_CHECKING:
    from pyspark.sql._typing import UserDefinedFunctionLike

RESULT_TYPE = "struct<label: string, score: double, probabilities: array<float>, error: string>"


def predict_udf(model_directory: str, *, batch_tokens: int = 2048) -> UserDefinedFunctionLike:
    """A UDF from a text column to a struct of label, score, probabilities and error.

    The model is loaded once in each Python worker, replays its golden rows there, and uses
    `spark.task.cpus` threads. A null or empty text gives a row with `error` set and no label.

    Args:
        model_directory: a published model, `<run_dir>/models/<fingerprint>`, that every executor can read.
        batch_tokens: tokens of one padded batch in the model.

    Raises:
        PublishedError: there is no published model.
    """
    read_manifest(model_directory)  # on the driver, so that a wrong path fails at once

    def predict(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        predictor = load_predictor(model_directory, task_threads(), batch_tokens)
        for batch in batches:
            yield _predict_frame(predictor, batch)

    return pandas_udf(predict, RESULT_TYPE)  # type: ignore[call-overload, no-any-return]


def task_threads() -> int:
    """Cores that Spark gives the running task (`spark.task.cpus`); 1 outside a task."""
    context = TaskContext.get()
    return context.cpus() if context is not None else 1


def _predict_frame(predictor: Predictor, texts: pd.Series) -> pd.DataFrame:
    normalized = predictor.normalize(pa.array(texts, pa.string(), from_pandas=True))
    return pd.DataFrame(predict_columns(predictor, normalized.to_pylist()), index=texts.index)


def predict_columns(predictor: Predictor, texts: list[str | None]) -> dict[str, list[Any]]:
    """Columns label, score, probabilities and error for normalized texts; null or empty ones are not scored."""
    found = [row for row, text in enumerate(texts) if text]
    columns: dict[str, list[Any]] = {
        "label": [None] * len(texts),
        "score": [None] * len(texts),
        "probabilities": [None] * len(texts),
        "error": [EMPTY] * len(texts),
    }
    probabilities = predictor.probabilities([texts[row] or "" for row in found])  # (N, C)
    for row, values in zip(found, probabilities, strict=True):
        best = int(values.argmax())
        columns["label"][row] = predictor.labels[best]
        columns["score"][row] = float(values[best])
        columns["probabilities"][row] = values.tolist()
        columns["error"][row] = None
    return columns
