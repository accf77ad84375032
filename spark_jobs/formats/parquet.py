"""Parquet files: a record a row."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.errors import InputError
from mapring.settings import Input
from mapring.values import number_text
from spark_jobs.formats.raw import MALFORMED, UNDECODABLE, RawRecord, RecordError, decode, list_of_labels
from spark_jobs.segments import Segment

_BATCH_ROWS = 1024
# How Arrow tells that Python has no such value: a date beyond the year 9999, bytes in a list that are not UTF-8, an
# unknown time zone.
_NO_VALUE = (OverflowError, ValueError, KeyError)
_TEXTS = {  # Arrow's types of texts, and of the same bytes
    pa.types.is_string: pa.binary(),
    pa.types.is_large_string: pa.large_binary(),
    pa.types.is_string_view: pa.binary_view(),
}


def read_parquet(segment: Segment) -> Iterator[RawRecord]:
    """A record for each row of the segment's row groups."""
    source = segment.source
    columns = (
        source.id_column,
        source.text_column,
        source.label_column,
        source.time_column,
        source.group_column,
        source.second_text_column,
        *source.feature_columns,
    )
    with storage.open_read(segment.uri) as handle:
        file = pq.ParquetFile(handle)
        number = segment.first_record
        is_id = source.text_column == source.id_column  # of interactions, whose item is all they have: also a number
        groups = list(range(segment.start, segment.end or file.num_row_groups))
        wanted = list(dict.fromkeys(column for column in columns if column))
        _check_names(segment.uri, file.schema_arrow.names, wanted)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=wanted):
            found = [_values(batch.column(column)) if column else [None] * batch.num_rows for column in columns]
            for row in zip(*found, strict=True):
                try:
                    _raise_unreadable(columns, row)
                    row_id, text, label, time, group, second, *features = row
                    yield RawRecord(
                        number,
                        _plain(row_id, source.encoding),
                        _plain(text, source.encoding) if is_id else _text(text, source.encoding),
                        _label(label, source),
                        _plain(time, source.encoding),
                        _plain(group, source.encoding),
                        _text(second, source.encoding),
                        [_feature(value) for value in features] if source.feature_columns else None,
                    )
                except RecordError as problem:
                    yield problem.to_record(number)
                number += 1


def _values(column: pa.Array) -> list[Any]:
    """Python values of a column; texts as bytes, for Arrow does not check that a file's texts are UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    for is_text, as_bytes in _TEXTS.items():
        if is_text(column.type):
            return _Text.of(column.cast(as_bytes))
    try:
        values: list[Any] = column.to_pylist()
    except _NO_VALUE:
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except _NO_VALUE as error:
        return error


def _raise_unreadable(columns: Sequence[str | None], row: Sequence[Any]) -> None:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, Exception):
            is_decoded = not isinstance(value, UnicodeDecodeError)
            told = "cannot be read" if is_decoded else "is not utf-8"
            raise RecordError(MALFORMED if is_decoded else UNDECODABLE, f"{column!r} {told}: {value}")


def _check_names(uri: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """The driver has checked this before; a file may have changed since."""
    for column in wanted:
        if names.count(column) != 1:
            raise InputError(
                f"{uri}: found {names.count(column)} columns named {column!r}, expected one; rename columns in the "
                "file, or take it out of the inputs"
            )


class _Text(bytes):
    """A value that the file says is a text, and so is UTF-8 whatever the input's encoding."""

    @classmethod
    def of(cls, column: pa.Array) -> list[Any]:
        return [None if value is None else cls(value) for value in column.to_pylist()]


def _text(value: Any, encoding: str) -> str | None:
    if value is None or isinstance(value, bytes):
        return _plain(value, encoding)
    raise RecordError(MALFORMED, f"the text is a {type(value).__name__}, expected text")


def _label(value: Any, source: Input) -> str | None:
    if isinstance(value, dict):  # no text of it would be a label
        raise RecordError(MALFORMED, "the label is a dict, expected one value or a list")
    if isinstance(value, list):
        read = [_plain(item, source.encoding) if isinstance(item, bytes) else item for item in value]
        return list_of_labels(read, source.label_column)
    return _plain(value, source.encoding)


def _plain(value: Any, encoding: str) -> str | None:
    """A value as text; bytes in the input's encoding, where the file does not say that they are a text."""
    if isinstance(value, bytes):
        return decode(value, "utf-8" if isinstance(value, _Text) else encoding)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, int | float):
        return number_text(value)
    return None if value is None else str(value)


def _feature(value: Any) -> str | None:
    """A number as text; what is none is told and counted later."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list):  # as jsonl has it
        return json.dumps([_feature(item) for item in value], ensure_ascii=False)
    return None if value is None else str(value)
