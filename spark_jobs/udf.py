"""`mapring.predict_udf` and `mapring.explain_udf`: a published model as a pandas UDF for anybody's own Spark job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pydantic import ValidationError
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.pandas.types import from_arrow_schema

from mapring.contract.schemas import answer_schema
from mapring.errors import SettingsError
from mapring.pairs import join_pairs
from mapring.settings.answers import Answers
from mapring.settings.combinations import FROM_A_BANK, chosen_mode
from spark_jobs.backends.published import open_backend
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.published_model import read_published_model
from spark_jobs.task_predictor import load_task_predictor

if TYPE_CHECKING:
    from pyspark.sql._typing import UserDefinedFunctionLike

_BUFFER_ROWS, _BUFFER_CHARACTERS = 16_384, 16 << 20

Batch = tuple[pd.Series, ...]  # the columns of texts of one Arrow batch: one, or the two of pairs


def predict_udf(
    model_directory: str, *, backend: str | None = None, batch_tokens: int = 2048, **answers: Any
) -> UserDefinedFunctionLike:
    """A UDF from a text column, or of a model of pairs from two, to a struct of what the model answers.

    Its fields are those of the scores table in the model's mode, with error and detail (docs/scores.md has them). The
    model is loaded once in each Python worker, replays its golden rows there, and uses `spark.task.cpus` threads.
    Batches of the model are cut from up to 16,384 rows of a task, sorted by length, whatever the size of Spark's own
    batches. A null or empty text gives a row with `error` set and no answer; so does one that the model fails on, whose
    `detail` says why.

    Args:
        model_directory: a published model, `<run_dir>/models/<fingerprint>`, that every executor can read.
        backend: a backend published for this model, `<run_dir>/backends/<fingerprint>`; none for the model in fp32.
        batch_tokens: tokens of one padded batch in the model.
        answers: what is asked for, by the names of `score`: mode, probabilities, top_k, abstain_below, explain_share
            (of the rows, chosen by their texts), and generation with its keys.

    Raises:
        PublishedError: there is no published model, or no such backend of it.
        SettingsError: the model does not know what it is asked for.
    """
    published = read_published_model(model_directory)  # on the driver, so that a wrong path fails at once
    if backend is not None:
        open_backend(backend, published.manifest)
    asked = _asked(answers)
    if asked.mode in FROM_A_BANK:
        raise SettingsError(
            f"predict_udf: mode: found {asked.mode}, whose bank `mapring score` publishes; score a pipeline, or ask "
            f"for {chosen_mode(published.task, None)}"
        )
    result_type = from_arrow_schema(answer_schema(published.mode_for(asked)))

    def answer(batches: Iterator[Batch]) -> Iterator[pd.DataFrame]:
        predictor = load_task_predictor(model_directory, batch_tokens, backend)
        for buffer in buffers(_checked(batch, published.is_pair) for batch in batches):
            yield from _answer_frames(predictor, buffer, asked)

    def predict(texts: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        yield from answer((text,) for text in texts)

    def predict_pairs(texts: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        yield from answer(texts)

    function: Callable[..., Iterator[pd.DataFrame]] = predict_pairs if published.is_pair else predict
    return pandas_udf(function, result_type)  # type: ignore[call-overload, no-any-return]


def explain_udf(
    model_directory: str, *, backend: str | None = None, batch_tokens: int = 2048, **answers: Any
) -> UserDefinedFunctionLike:
    """As `predict_udf`, with an explanation of every row: of a classifier or a regression model.

    It costs as many rows as a text has tokens.
    """
    return predict_udf(model_directory, backend=backend, batch_tokens=batch_tokens, **{**answers, "explain_share": 1.0})


def buffers(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Consecutive batches in lists of about 16,384 rows or 16 million characters, at least one batch each."""
    waiting: list[Batch] = []
    rows = characters = 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch[0])
        characters += sum(int(column.str.len().sum()) for column in batch)
        if rows >= _BUFFER_ROWS or characters >= _BUFFER_CHARACTERS:
            yield waiting
            waiting, rows, characters = [], 0, 0
    if waiting:
        yield waiting


def _checked(batch: Batch, is_pair: bool) -> Batch:
    """The columns of a batch, which must be one of texts, or two of pairs.

    Raises:
        SettingsError: they are others.
    """
    columns = tuple(one for one in batch if isinstance(one, pd.Series))
    expected = "two columns of texts, for it is a model of pairs" if is_pair else "one column of texts"
    if len(columns) != len(batch) or len(columns) != 1 + is_pair:
        raise SettingsError(f"predict_udf: found another number of columns, expected {expected}")
    odd = next((one for one in columns if any(not isinstance(value, str) for value in one.dropna())), None)
    if odd is not None:
        raise SettingsError(f"predict_udf: found values of {odd.dtype}, expected {expected}; cast them to string")
    return columns


def _asked(answers: dict[str, Any]) -> Answers:
    try:
        return Answers.model_validate(answers)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"predict_udf: {key}: {first['msg']}; expected keys and values as in docs/settings.md, `score`"
        ) from None


def _answer_frames(predictor: Predictor, batches: Sequence[Batch], asked: Answers) -> Iterator[pd.DataFrame]:
    """The answers of each batch, computed over all of them together."""
    columns = [pd.concat(column, ignore_index=True) for column in zip(*batches, strict=True)]
    texts = [predictor.normalize(pa.array(column, pa.string(), from_pandas=True)) for column in columns]
    joined = texts[0] if len(texts) == 1 else join_pairs(*texts)
    answers, _ = predict_columns(predictor, joined.to_pylist(), asked)
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in answers.items()})
    start = 0
    for batch in batches:
        yield frame.iloc[start : start + len(batch[0])].set_axis(batch[0].index)
        start += len(batch[0])
