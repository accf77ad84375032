"""`mapring.predict_udf`: a published model as a pandas UDF for anybody's own Spark job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.pandas.functions import pandas_udf

from mapring.contract import read_manifest
from spark_jobs.backends.published import open_backend
from spark_jobs.forward import Outcome
from spark_jobs.predictor import Predictor, load_predictor
from spark_jobs.records import EMPTY
from spark_jobs.task_device import task_device

if TYPE_CHECKING:
    from pyspark.sql._typing import UserDefinedFunctionLike

RESULT_TYPE = "struct<label: string, score: double, probabilities: array<float>, error: string, detail: string>"
MODEL_FAILED = "model_failed"
_BUFFER_ROWS, _BUFFER_CHARACTERS = 16_384, 16 << 20


def predict_udf(
    model_directory: str, *, backend: str | None = None, batch_tokens: int = 2048
) -> UserDefinedFunctionLike:
    """A UDF from a text column to a struct of label, score, probabilities, error and detail.

    The model is loaded once in each Python worker, replays its golden rows there, and uses
    `spark.task.cpus` threads. Batches of the model are cut from up to 16,384 rows of a task, sorted by length,
    whatever the size of Spark's own batches. A null or empty text gives a row with `error` set and no label; so does
    one that the model fails on, whose `detail` says why.

    Args:
        model_directory: a published model, `<run_dir>/models/<fingerprint>`, that every executor can read.
        backend: a backend published for this model, `<run_dir>/backends/<fingerprint>`; none for the model in fp32.
        batch_tokens: tokens of one padded batch in the model.

    Raises:
        PublishedError: there is no published model, or no such backend of it.
    """
    model = read_manifest(model_directory)  # on the driver, so that a wrong path fails at once
    if backend is not None:
        open_backend(backend, model)

    def predict(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        predictor = load_predictor(model_directory, task_threads(), batch_tokens, backend, task_device())
        for buffer in buffers(batches):
            yield from _predict_frames(predictor, buffer)

    return pandas_udf(predict, RESULT_TYPE)  # type: ignore[call-overload, no-any-return]


def task_threads() -> int:
    """Cores that Spark gives the running task (`spark.task.cpus`); 1 outside a task."""
    context = TaskContext.get()
    return context.cpus() if context is not None else 1


def buffers(batches: Iterable[pd.Series]) -> Iterator[list[pd.Series]]:
    """Consecutive batches in lists of about 16,384 rows or 16 million characters, at least one batch each."""
    waiting: list[pd.Series] = []
    rows = characters = 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        characters += int(batch.str.len().sum())
        if rows >= _BUFFER_ROWS or characters >= _BUFFER_CHARACTERS:
            yield waiting
            waiting, rows, characters = [], 0, 0
    if waiting:
        yield waiting


def _predict_frames(predictor: Predictor, batches: Sequence[pd.Series]) -> Iterator[pd.DataFrame]:
    """The predictions of each batch, computed over all of them together."""
    texts = pa.array(pd.concat(batches, ignore_index=True), pa.string(), from_pandas=True)
    columns, _ = predict_columns(predictor, predictor.normalize(texts).to_pylist())
    frame = pd.DataFrame(columns)
    start = 0
    for batch in batches:
        yield frame.iloc[start : start + len(batch)].set_axis(batch.index)
        start += len(batch)


def predict_columns(predictor: Predictor, texts: list[str | None]) -> tuple[dict[str, list[Any]], Outcome]:
    """Columns label, score, probabilities, error and detail for normalized texts, and what the model did for them.

    Null or empty texts are not given to the model.
    """
    found = [row for row, text in enumerate(texts) if text]
    columns: dict[str, list[Any]] = {
        "label": [None] * len(texts),
        "score": [None] * len(texts),
        "probabilities": [None] * len(texts),
        "error": [EMPTY] * len(texts),
        "detail": [None] * len(texts),
    }
    prediction = predictor.predict([texts[row] or "" for row in found])
    failures = prediction.outcome.failures
    for place, (row, values) in enumerate(zip(found, prediction.probabilities, strict=True)):  # values: (C,)
        if place in failures:
            columns["error"][row], columns["detail"][row] = MODEL_FAILED, failures[place]
            continue
        best = int(values.argmax())
        columns["label"][row] = predictor.labels[best]
        columns["score"][row] = float(values[best])
        columns["probabilities"][row] = values.tolist()
        columns["error"][row] = None
    return columns, prediction.outcome
