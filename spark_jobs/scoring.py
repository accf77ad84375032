"""Records to rows of the scores table, one file at a time; quarantined records get a row that says why."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import score_schema
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import load_predictor
from spark_jobs.tables import Built, WrittenFile, file_of_document, write_groups
from spark_jobs.udf import task_threads

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROWS_PER_ROW_GROUP = 16_384


@dataclass(frozen=True, kw_only=True)
class ScoreBuilder:
    """Builds one file's table of scores; `statistics` has `scored`, `errors` by rule, `tokens`, `padded_tokens`."""

    model_directory: str
    batch_tokens: int
    answers: Answers
    model_fingerprint: str
    run_id: str
    scored_at: datetime.datetime
    on_rows: Callable[[int], None]

    def __call__(self, table: pa.Table) -> Built:
        """Score the rows of RECORD columns; rows with a rule keep it as their error."""
        predictor = load_predictor(self.model_directory, task_threads(), self.batch_tokens)
        schema = score_schema(predictor.published.mode_for(self.answers))
        predicted, passes = predict_columns(
            predictor, table.column("text").to_pylist(), self.answers, table.column("doc_id").to_pylist()
        )
        error = pc.coalesce(table.column("rule"), pa.chunked_array([pa.array(predicted.pop("error"), pa.string())]))
        detail = pc.coalesce(table.column("detail"), pa.chunked_array([pa.array(predicted.pop("detail"), pa.string())]))
        count = table.num_rows
        columns = {
            **{name: table.column(name) for name in ("doc_id", "source_id", "source", "path", "record")},
            **{name: pa.array(values, schema.field(name).type) for name, values in predicted.items()},
            "error": error,
            "detail": detail,
            "model_fingerprint": pa.repeat(self.model_fingerprint, count),
            "run_id": pa.repeat(self.run_id, count),
            "scored_at": pa.repeat(pa.scalar(self.scored_at, schema.field("scored_at").type), count),
        }
        built = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        errors = Counter(value for value in error.to_pylist() if value is not None)
        self.on_rows(count)
        tokens = {"tokens": passes.tokens, "padded_tokens": passes.padded_tokens}
        return Built(built, {"scored": count - errors.total(), "errors": dict(errors), **tokens})


def write_scores(records: DataFrame, build: ScoreBuilder, *, files: int, directory: str) -> list[WrittenFile]:
    """Score and write all records as `files` files below `directory`, spread by a hash of their ids."""
    group = F.format_string(f"{build.run_id[:8]}-%05d", file_of_document(files))
    spread = (
        records.withColumn("file_group", group)
        .repartition(files, "file_group")
        .sortWithinPartitions("file_group", "source", "path", "record")
    )
    return write_groups(spread, build, directory=directory, folder="data", rows_per_row_group=_ROWS_PER_ROW_GROUP)
