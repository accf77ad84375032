"""Records to the rows that a ranker learns from: scored in Spark's tasks, one file at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mapring.settings.answers import Answers
from spark_jobs.carried import SCORED_RECORD, carry
from spark_jobs.prediction import predict_columns
from spark_jobs.ranking.features import TextScores, asked_by_ranker, joined
from spark_jobs.ranking.published import lists_of
from spark_jobs.tables import Built, WrittenFile, write_documents
from spark_jobs.task_predictor import load_task_predictor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LABELLED = SCORED_RECORD.append(pa.field("label", pa.string()))
RANKED = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),  # where no column was named, the hash of the content
        pa.field("label", pa.float64(), nullable=False),
        pa.field("text_score", pa.float64(), nullable=False),  # what the ranker is compared with
        pa.field("seen", pa.list_(pa.float64()), nullable=False),  # scores of the text, then the given numbers
    ]
)
_ROWS_PER_FILE = 16_384
UNLABELLED, NO_GROUP = "missing_label", "missing_group"


def carry_labelled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of RECORD as rows of LABELLED; runs inside tasks."""
    return pa.RecordBatch.from_arrays([*carry(batch).columns, batch.column("label")], schema=LABELLED)


@dataclass(frozen=True, kw_only=True)
class RowBuilder:
    """Builds one file's table of RANKED; `statistics` has `read`, and `dropped` by why."""

    model_directory: str
    batch_tokens: int
    answers: Answers
    scores: TextScores
    width: int
    needs_group: bool
    on_rows: Callable[[int], None]
    backend_directory: str | None
    bank_directory: str | None

    def __call__(self, table: pa.Table) -> Built:
        """Score the rows of LABELLED columns, and keep those that have all that is needed."""
        predictor = load_task_predictor(
            self.model_directory, self.batch_tokens, self.backend_directory, self.bank_directory
        )
        asked = asked_by_ranker(self.answers, self.scores.mode).model_copy(update={"explain_share": 0.0})
        predicted, _ = predict_columns(predictor, table.column("text").to_pylist(), asked)
        groups = table.column("group" if self.needs_group else "content_hash").to_pylist()
        labels = table.column("label").to_pylist()
        why = [
            rule or error or (UNLABELLED if not label else NO_GROUP if group is None else None)
            for rule, error, label, group in zip(
                table.column("rule").to_pylist(), predicted["error"], labels, groups, strict=True
            )
        ]
        text = self.scores.of(predicted)
        seen = joined(text, table.column("features").to_pylist(), self.width)
        kept = [row for row, reason in enumerate(why) if reason is None]
        names = table.column("doc_id").to_pylist()
        built = pa.table(
            {
                "doc_id": [names[row] for row in kept],
                "group": [groups[row] for row in kept],
                "label": [float(labels[row]) for row in kept],
                "text_score": text[kept, self.scores.own],
                "seen": lists_of(seen[kept]),
            },
            schema=RANKED,
        )
        self.on_rows(len(table))
        dropped = Counter(reason for reason in why if reason is not None)
        return Built(built, {"read": len(table), "dropped": dict(dropped)})


def write_rows(records: DataFrame, build: RowBuilder, *, count: int, directory: str) -> list[WrittenFile]:
    """Score records and write them as files below `directory/rows`; what is in a file hangs on the records alone."""
    files = max(1, -(-count // _ROWS_PER_FILE))
    return write_documents(
        records,
        build,
        files=files,
        directory=directory,
        folder="rows",
        rows_per_row_group=_ROWS_PER_FILE,
    )
