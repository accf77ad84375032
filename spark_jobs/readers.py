"""Read one segment into Arrow batches of raw records; what cannot be read says why.

A record that breaks its format, or whose bytes are not of the declared encoding, comes out as a
row with a `rule` and a `detail` instead of a text, so that it is counted and can be found again.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.columns import split_record
from mapring.errors import InputError
from spark_jobs.segments import Segment

MALFORMED, UNDECODABLE = "malformed_record", "undecodable_bytes"

RAW = pa.schema(
    [
        pa.field("record", pa.int64(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("label", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("detail", pa.string()),
    ]
)

_BATCH_ROWS = 8192
_BATCH_BYTES = 16 << 20
_BLOCK_BYTES = 4 << 20
_LONGEST_QUOTE_LINES = 1000  # a quote that stays open for longer is taken for a stray one
csv.field_size_limit(1 << 30)  # the module's default would refuse a text of more than 131,072 characters
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class RawRecord(NamedTuple):
    """One record as read, in the order of the RAW schema."""

    record: int
    source_id: str | None = None
    text: str | None = None
    label: str | None = None
    rule: str | None = None
    detail: str | None = None


class _RecordError(Exception):
    """Why one record is quarantined."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


def read_segment(segment: Segment) -> Iterator[pa.RecordBatch]:
    """Yield the segment's records as batches of the RAW schema, in order.

    Raises:
        InputError: the file itself is damaged (a truncated gzip, a broken Parquet page); what
            follows the damage cannot be counted, so it is not skipped.
    """
    readers = {"text": _read_text, "jsonl": _read_jsonl, "csv": _read_delimited, "tsv": _read_delimited}
    reader = readers.get(segment.source.format, _read_parquet)
    try:
        yield from _batches(reader(segment))
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        raise InputError(
            f"{segment.uri}: the file is damaged or incomplete ({error}); replace it or take it out of the inputs"
        ) from error


def _batches(records: Iterable[RawRecord]) -> Iterator[pa.RecordBatch]:
    rows: list[RawRecord] = []
    characters = 0
    for record in records:
        rows.append(record)
        characters += len(record.text or "")
        if len(rows) >= _BATCH_ROWS or characters >= _BATCH_BYTES:
            yield _to_batch(rows)
            rows, characters = [], 0
    if rows:
        yield _to_batch(rows)


def _to_batch(rows: list[RawRecord]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW)


def _lines(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that begin in the segment, without their line ends; the last may have none."""
    with storage.open_text_bytes(segment.uri) as handle:
        position = segment.start
        if segment.start > 0:
            handle.seek(segment.start - 1)
            position += len(handle.readline()) - 1
        number = segment.first_record
        rest = b""
        while (segment.end is None or position < segment.end) and (block := handle.read(_BLOCK_BYTES)):
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                if segment.end is not None and position >= segment.end:
                    return
                yield number, line.removeprefix(_BYTE_ORDER_MARK if number == 1 else b"").removesuffix(b"\r")
                position += len(line) + 1
                number += 1
        if rest and (segment.end is None or position < segment.end):
            yield number, rest.removeprefix(_BYTE_ORDER_MARK if number == 1 else b"").removesuffix(b"\r")


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        detail = f"byte 0x{content[error.start]:02x} at position {error.start + 1} is not {encoding}"
        raise _RecordError(UNDECODABLE, detail) from None


def _read_text(segment: Segment) -> Iterator[RawRecord]:
    for number, line in _lines(segment):
        try:
            yield RawRecord(number, text=_decode(line, segment.source.encoding))
        except _RecordError as problem:
            yield RawRecord(number, rule=problem.rule, detail=problem.detail)


def _read_jsonl(segment: Segment) -> Iterator[RawRecord]:
    source = segment.source
    for number, line in _lines(segment):
        try:
            text = _decode(line, source.encoding)
            if not text.strip():
                yield RawRecord(number, text="")
                continue
            value = _json_object(text)
            if source.text_column not in value:
                raise _RecordError(MALFORMED, f"found no key {source.text_column!r}")
            yield RawRecord(
                number,
                source_id=_json_scalar(value, source.id_column),
                text=_json_text(value, source.text_column),
                label=_json_scalar(value, source.label_column),
            )
        except _RecordError as problem:
            yield RawRecord(number, rule=problem.rule, detail=problem.detail)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _RecordError(MALFORMED, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _RecordError(MALFORMED, f"found a JSON {type(value).__name__}, expected an object")
    return value


def _json_text(value: dict[str, Any], column: str) -> str | None:
    text = value[column]
    if text is not None and not isinstance(text, str):
        raise _RecordError(MALFORMED, f"{column!r} is a {type(text).__name__}, expected text")
    return _without_surrogates(text, column)


def _json_scalar(value: dict[str, Any], column: str | None) -> str | None:
    found = value.get(column) if column else None
    if found is None or isinstance(found, str):
        return _without_surrogates(found, column)
    if isinstance(found, int | float):
        return json.dumps(found)
    raise _RecordError(MALFORMED, f"{column!r} is a {type(found).__name__}, expected text or a number")


def _without_surrogates(text: str | None, column: str | None) -> str | None:
    try:
        if text is not None:
            text.encode()
    except UnicodeEncodeError as error:
        detail = f"{column!r} has a lone surrogate at position {error.start + 1}"
        raise _RecordError(UNDECODABLE, detail) from None
    return text


def _read_delimited(segment: Segment) -> Iterator[RawRecord]:
    source = segment.source
    lines = ((number, line.decode("latin-1")) for number, line in _lines(segment))
    records = _csv_records(lines) if source.format == "csv" else ((n, line.split("\t")) for n, line in lines if line)
    _, header = next(records, (0, []))
    names = [] if isinstance(header, csv.Error) else header
    positions = [
        _header_position(names, column, source.encoding)
        for column in (source.id_column, source.text_column, source.label_column)
    ]
    for number, fields in records:
        try:
            if isinstance(fields, csv.Error):
                raise _RecordError(MALFORMED, f"not csv: {fields}")
            if len(fields) != len(names):
                raise _RecordError(MALFORMED, f"found {len(fields)} fields, expected {len(names)}")
            row_id, text, label = (
                None if position is None else _decode(fields[position].encode("latin-1"), source.encoding)
                for position in positions
            )
            yield RawRecord(number, source_id=row_id, text=text, label=label)
        except _RecordError as problem:
            yield RawRecord(number, rule=problem.rule, detail=problem.detail)


def _header_position(names: list[str], column: str | None, encoding: str) -> int | None:
    if column is None or not names:
        return None
    return [name.encode("latin-1").decode(encoding) for name in names].index(column)


def _csv_records(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Fields of each record, numbered by the line it begins on; lines of a quoted field are joined.

    A stray quote would swallow the lines up to the next one, or the rest of the file. So where
    joined lines make no record as wide as the header, or none within 1,000 lines, only the line with
    the stray quote is given up, and reading goes on below it.
    """
    again: list[tuple[int, str]] = []  # lines to be read once more, the next one last
    waiting: list[tuple[int, str]] = []  # lines of a record whose quote is still open
    width: int | None = None
    while True:
        item = again.pop() if again else next(lines, None)
        fields: list[str] | csv.Error | None = None
        if item is not None and len(waiting) < _LONGEST_QUOTE_LINES:
            if not waiting and not item[1]:
                continue
            waiting.append(item)
            if len(waiting) > 1 and '"' not in item[1]:
                continue
            fields = _csv_fields("\n".join(line for _, line in waiting))
            if fields is None:
                continue
            item = None
        elif not waiting:
            return
        number, rest = waiting[0][0], [*waiting[1:], *([item] if item is not None else [])]
        waiting = []
        is_stray = fields is None or (rest and (isinstance(fields, csv.Error) or len(fields) != (width or len(fields))))
        if is_stray:
            again.extend(reversed(rest))
            fields = csv.Error("a quote is opened and not closed")
        width = width or (len(fields) if isinstance(fields, list) else None)
        yield number, fields or []


def _csv_fields(text: str) -> list[str] | csv.Error | None:
    """Fields of a record, what is wrong with it, or None while a quoted field is still open."""
    try:
        return split_record(text, "csv")
    except csv.Error as error:
        return None if "unexpected end of data" in str(error) else error


def _read_parquet(segment: Segment) -> Iterator[RawRecord]:
    source = segment.source
    columns = [source.id_column, source.text_column, source.label_column]
    with storage.open_read(segment.uri) as handle:
        file = pq.ParquetFile(handle)
        number = segment.first_record
        groups = list(range(segment.start, segment.end or file.num_row_groups))
        wanted = [column for column in columns if column]
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=wanted):
            found = [batch.column(column).to_pylist() if column else [None] * batch.num_rows for column in columns]
            for row_id, text, label in zip(*found, strict=True):
                try:
                    yield RawRecord(number, _plain(row_id), _parquet_text(text, source.encoding), _plain(label))
                except _RecordError as problem:
                    yield RawRecord(number, rule=problem.rule, detail=problem.detail)
                number += 1


def _parquet_text(value: Any, encoding: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _decode(value, encoding)
    raise _RecordError(MALFORMED, f"the text is a {type(value).__name__}, expected text")


def _plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
