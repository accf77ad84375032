"""Values separated by commas, tabs and the like: a header, then a record a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from mapring.columns import split_record
from spark_jobs.formats.lines import numbered_lines
from spark_jobs.formats.raw import MALFORMED, RawRecord, RecordError, decode
from spark_jobs.segments import Segment

_LONGEST_QUOTE_LINES = 1000  # a quote that stays open for longer is taken for a stray one
csv.field_size_limit(1 << 30)  # the module's default would refuse a text of more than 131,072 characters


def read_delimited(segment: Segment) -> Iterator[RawRecord]:
    """A record for each row below the header, numbered by the line that it begins on."""
    source = segment.source
    lines = ((number, line.decode("latin-1")) for number, line in numbered_lines(segment))
    is_csv = source.format == "csv"
    records = _csv_records(lines, source.separator) if is_csv else ((n, line.split("\t")) for n, line in lines if line)
    _, header = next(records, (0, []))
    names = [] if isinstance(header, csv.Error) else header
    wanted = (
        source.id_column,
        source.text_column,
        source.label_column,
        source.time_column,
        source.group_column,
        source.second_text_column,
        *source.feature_columns,
    )
    positions = [_header_position(names, column, source.encoding) for column in wanted]
    for number, fields in records:
        try:
            if isinstance(fields, csv.Error):
                raise RecordError(MALFORMED, f"not csv: {fields}")
            if len(fields) != len(names):
                raise RecordError(MALFORMED, f"found {len(fields)} fields, expected {len(names)}")
            found = (
                None if position is None else decode(fields[position].encode("latin-1"), source.encoding)
                for position in positions
            )
            row_id, text, label, time, group, second, *features = found
            yield RawRecord(number, row_id, text, label, time, group, second, features or None)
        except RecordError as problem:
            yield problem.to_record(number)


def _header_position(names: list[str], column: str | None, encoding: str) -> int | None:
    if column is None or not names:
        return None
    return [name.encode("latin-1").decode(encoding) for name in names].index(column)


def _csv_records(lines: Iterator[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
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
            fields = _csv_fields("\n".join(line for _, line in waiting), separator)
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


def _csv_fields(text: str, separator: str) -> list[str] | csv.Error | None:
    """Fields of a record, what is wrong with it, or None while a quoted field is still open."""
    try:
        return split_record(text, "csv", separator)
    except csv.Error as error:
        return None if "unexpected end of data" in str(error) else error
