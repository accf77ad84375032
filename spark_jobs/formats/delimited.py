"""Values separated by commas, tabs and the like: a header, then a record a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from mapring.columns import split_record
from mapring.errors import InputError
from spark_jobs.formats.lines import numbered_lines
from spark_jobs.formats.raw import MALFORMED, RawRecord, RecordError, decode
from spark_jobs.segments import Segment

_SHOWN_CHARACTERS = 60  # of a column's name; what is longer is a text
_LONGEST_QUOTE = 1 << 26  # characters; a quote that stays open for longer is taken for a stray one
_TRIED_LINES = 1000  # of an open quote that are tried one by one; beyond, only where the quotes could be whole
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
    positions = [_header_position(segment, names, column) for column in wanted]
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


def _header_position(segment: Segment, names: list[str], column: str | None) -> int | None:
    """Where in the header a column stands; the driver has checked this before, but a file may have changed since."""
    if column is None or not names:
        return None
    found = [name.encode("latin-1").decode(segment.source.encoding, "replace") for name in names]
    if found.count(column) != 1:
        told = ", ".join(repr(name[:_SHOWN_CHARACTERS]) for name in found)
        raise InputError(
            f"{segment.uri}: found {found.count(column)} columns named {column!r} among {told}, expected one; correct "
            "the first line of the file, or take it out of the inputs"
        )
    return found.index(column)


def _csv_records(lines: Iterator[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Fields of each record, numbered by the line it begins on; lines of a quoted field are joined.

    A stray quote would swallow the lines up to the next one, or the rest of the file. So where joined lines make no
    record, or one of another width whose lines are records by themselves, or none within 64 Mi characters, only the
    line with the stray quote is given up, and reading goes on below it.
    """
    again: list[tuple[int, str]] = []  # lines to be read once more, the next one last
    open_quote = _OpenQuote()
    width: int | None = None
    while True:
        item = again.pop() if again else next(lines, None)
        fields: list[str] | csv.Error | None = None
        if item is not None and open_quote.characters < _LONGEST_QUOTE:
            if not open_quote.lines and not item[1]:
                continue
            if not open_quote.add(item):
                continue
            fields = _csv_fields("\n".join(line for _, line in open_quote.lines), separator)
            if fields is None:
                continue
            item = None
        elif not open_quote.lines:
            return
        (number, _), *rest = open_quote.lines
        rest += [item] if item is not None else []
        open_quote = _OpenQuote()
        if fields is None or (rest and _is_stray(fields, [line for _, line in rest], width, separator)):
            again.extend(reversed(rest))
            fields = csv.Error("a quote is opened and not closed")
        width = width or (len(fields) if isinstance(fields, list) else None)
        yield number, fields or []


class _OpenQuote:
    """Lines of a record whose quote is still open."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.characters = self._quotes = 0

    def add(self, item: tuple[int, str]) -> bool:
        """Take one more line; whether the lines may be a whole record now, so that reading them is worth its time.

        A quoted text of a hundred thousand lines with quotes of its own would be read as often. Where a record is as it
        should be its quotes are even in number, for those within a text are doubled.
        """
        _, line = item
        self.lines.append(item)
        self.characters += len(line) + 1
        quotes = line.count('"')
        self._quotes += quotes
        if len(self.lines) == 1:
            return True
        return quotes > 0 and (len(self.lines) <= _TRIED_LINES or self._quotes % 2 == 0)


def _is_stray(fields: list[str] | csv.Error, inner: list[str], width: int | None, separator: str) -> bool:
    """Whether the lines below a record's first one are no part of it."""
    if isinstance(fields, csv.Error):
        return True
    if width is None or len(fields) == width:
        return False
    found = (_csv_fields(line, separator) for line in inner)
    records = sum(isinstance(own, list) and len(own) == width for own in found)
    return 2 * records > len(inner)


def _csv_fields(text: str, separator: str) -> list[str] | csv.Error | None:
    """Fields of a record, what is wrong with it, or None while a quoted field is still open."""
    try:
        return split_record(text, "csv", separator)
    except csv.Error as error:
        return None if "unexpected end of data" in str(error) else error
