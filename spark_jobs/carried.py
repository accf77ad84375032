"""What a scored row carries besides its answer: a time, a group, numbers of its own, the hash of its text.

Times and features come as they stand in the input. Here they become moments and numbers, in the pass that reads, so
that what cannot be read is counted before anything is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from mapring.contract.schemas import CARRIED
from mapring.errors import InputError
from mapring.progress import say
from mapring.values import feature_of, moment_of
from spark_jobs.records import RECORD

if TYPE_CHECKING:
    from pyspark.sql import Column, Row

_SHOWN_CHARACTERS = 40  # of a value that cannot be read
_NAMED_BY = {"time": "time_column", "features": "feature_columns"}
_EXPECTED = {"time": "ISO 8601, or seconds since 1970", "features": "numbers, or true and false"}
_MISSING = ("", "nan")  # what writers of tables put where there is no number

SCORED_RECORD = pa.schema(
    [
        *(RECORD.field(name) for name in ("doc_id", "source_id", "source", "path", "record")),
        *CARRIED,
        *(RECORD.field(name) for name in ("text", "rule", "detail")),
        pa.field("unread_time", pa.string()),  # what stands in place of a time that cannot be read
        pa.field("unread_features", pa.list_(pa.string())),  # the same of features
    ]
)


def carry(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of RECORD as rows of SCORED_RECORD; runs inside tasks."""
    times = [_read(text, moment_of) for text in batch.column("time").to_pylist()]
    rows = batch.column("features").to_pylist()
    features = [[_read(text, feature_of) for text in row or ()] for row in rows]
    made: dict[str, list[Any]] = {
        "time": [value for value, _ in times],
        "features": [
            None if row is None else [value for value, _ in found] for row, found in zip(rows, features, strict=True)
        ],
        "unread_time": [unread for _, unread in times],
        "unread_features": [[unread for _, unread in found if unread is not None] for found in features],
    }
    columns = [
        pa.array(made[field.name], field.type) if field.name in made else batch.column(field.name)
        for field in SCORED_RECORD
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCORED_RECORD)


def _read(text: str | None, read: Callable[[str], Any]) -> tuple[Any, str | None]:
    """What a text writes, and the text itself, cut, where it writes nothing though it is there."""
    if text is None or text.strip().lower() in _MISSING:
        return None, None
    value = read(text)
    return value, text[:_SHOWN_CHARACTERS] if value is None else None


def unread_counts() -> list[Column]:
    """Aggregates of SCORED_RECORD rows, of which `check_unread` is told."""
    numbers = F.coalesce("features", F.array().cast("array<double>"))
    return [
        F.count("time").alias("time_read"),
        F.count("unread_time").alias("time_unread"),
        F.min("unread_time").alias("time_example"),
        F.sum(F.size(F.array_compact(numbers))).alias("features_read"),
        F.sum(F.size("unread_features")).alias("features_unread"),
        F.min(F.array_min("unread_features")).alias("features_example"),
    ]


def check_unread(counts: Sequence[Row], *, allowed_share: float, stage: str) -> dict[str, int]:
    """Say how many times and features cannot be read, which are null in the table, and refuse more than a share.

    Args:
        counts: rows of `unread_counts`.
        allowed_share: of the times, and of the features, that are there.
        stage: whose lines and settings these are.

    Returns: how many cannot be read, by column.

    Raises:
        InputError: more than the allowed share cannot be read.
    """
    return {column: _check_column(counts, column, allowed_share, stage) for column in _EXPECTED}


def _check_column(counts: Sequence[Row], column: str, allowed_share: float, stage: str) -> int:
    unread = sum(row[f"{column}_unread"] for row in counts)
    if not unread:
        return 0
    total = unread + sum(row[f"{column}_read"] for row in counts)
    example = min(row[f"{column}_example"] for row in counts if row[f"{column}_example"] is not None)
    text = f"{unread:,} of {total:,} values of {column} ({unread / total:.1%}) cannot be read, such as {example!r}"
    if unread > allowed_share * total:
        raise InputError(
            f"{text}, allowed are {allowed_share:.1%} ({stage}.max_quarantined_share); expected "
            f"{_EXPECTED[column]}. Correct {_NAMED_BY[column]}, repair the input, or allow a larger share"
        )
    say(stage, f"{text}; they are null in the table")
    return int(unread)
