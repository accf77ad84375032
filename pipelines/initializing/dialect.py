"""How a delimited file is written: encoding, separator, quotes, header. Pure functions of a sample.

Python's csv.Sniffer, before 3.16, guesses from the frequencies of single characters: it takes letters for separators in
short files, commas in lists for those between fields, and raises where it finds none. Here, as there from 3.16 on,
each separator is tried out: the right one gives every record as many fields as the header has.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mapring.columns import SEPARATORS
from mapring.settings.inputs import Encoding

csv.field_size_limit(1 << 30)  # the module's default would refuse a text of more than 131,072 characters

_TRIED_LINES = 400
_RESYNCHRONIZED_LINES = 50
_LEAST_CONSISTENT = 0.6  # share of the records that have the header's width; of prose with commas it is much less
_LONGEST_NAME = 60
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_COMMON_CHINESE = re.compile(rb"[\xb0-\xd7\xa1-\xa3][\xa1-\xfe]")  # level 1 of GB 2312, and its punctuation


@dataclass(frozen=True)
class Dialect:
    """A csv with this separator, or a tsv, whose quotes are characters like others."""

    format: Literal["csv", "tsv"]
    separator: Literal[",", ";", "\t", "|"]


def guess_encoding(parts: Sequence[bytes]) -> tuple[Encoding, float] | None:
    """The encoding of a file, and the share of lines that are not of it; None where it is none of those that are read.

    UTF-8 where nearly all lines are, since other text is hardly ever UTF-8 by chance.
    """
    if any(parts[0].startswith(mark) for mark in _UTF_16) or b"\x00" in parts[0][:4096]:
        return None
    bad = sum(map(_bad_utf8_lines, parts))
    lines = sum(part.count(b"\n") + 1 for part in parts)
    if bad <= lines / 100:
        return "utf-8", bad / lines
    content = b"".join(parts)
    runs = _HIGH_RUN.findall(content)
    doubled = sum(len(run) for run in runs if len(run) > 1)
    if doubled > 0.7 * sum(map(len, runs)):  # in European texts most such characters stand alone
        common = 2 * sum(len(_COMMON_CHINESE.findall(run)) for run in runs)
        return ("gb18030", 0.0) if common > 0.7 * sum(map(len, runs)) else None
    return ("cp1252", 0.0) if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", content) else ("latin-1", 0.0)


def _bad_utf8_lines(part: bytes) -> int:
    try:
        part.decode()
        return 0
    except UnicodeDecodeError:
        return sum(_is_bad(line) for line in part.split(b"\n"))


def _is_bad(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def guess_dialect(text: str) -> Dialect | None:
    """How the beginning of a file is delimited; None where no separator parts its lines alike.

    A header of one name is a csv of one column if no other line has two fields.
    """
    lines = _lines(text)[:_TRIED_LINES]
    found = []
    for separator in SEPARATORS:
        records = _csv_records(lines, separator)
        if records and len(records[0]) > 1:
            share = sum(len(record) == len(records[0]) for record in records) / len(records)
            found.append((share, len(records[0]), separator))
    good = [one for one in found if one[0] >= _LEAST_CONSISTENT]
    if good:
        _, _, separator = max(good)
        if separator == "\t" and not _has_quoted_fields(lines):
            return Dialect("tsv", "\t")
        return Dialect("csv", separator)  # type: ignore[arg-type]  # it is a key of SEPARATORS
    first = next(iter(lines), "")
    if not any(separator in first for separator in SEPARATORS):
        widths = {len(record) for record in _csv_records(lines, ",")}
        return Dialect("csv", ",") if widths == {1} else None
    return None


def _has_quoted_fields(lines: Sequence[str]) -> bool:
    """Whether quotes are around fields that hold doubled quotes, tabs or line breaks; else a tsv has them as text."""
    fields = [field for line in lines for field in line.rstrip("\r\n").split("\t")]
    return any(re.fullmatch(r'"(?:[^"]|"")*"', field) for field in fields) or any(
        field.startswith('"') and field.count('"') % 2 for field in fields
    )


def read_records(parts: Sequence[str], dialect: Dialect) -> tuple[list[str], list[list[str]], int]:
    """The header, the records of all parts that are as wide as it, and the number of those that are not.

    A part from the middle may begin within a quoted field, so it is read from the first line on at which records are as
    wide as the header.
    """
    header, *first = _records(_lines(parts[0]), dialect) or [[]]
    found = first
    for part in parts[1:]:
        found += _resynchronized(_lines(part), dialect, len(header))
    good = [record for record in found if len(record) == len(header)]
    return header, good, len(found) - len(good)


def _resynchronized(lines: list[str], dialect: Dialect, width: int) -> list[list[str]]:
    for start in range(min(len(lines), _RESYNCHRONIZED_LINES)):
        records = _records(lines[start : start + _RESYNCHRONIZED_LINES], dialect)
        is_first_cut = any(field.count('"') % 2 for record in records[:1] for field in record)
        if not is_first_cut and all(len(record) == width for record in records[:-1]):
            return _records(lines[start:], dialect)
    return _records(lines, dialect)


def _lines(text: str) -> list[str]:
    """Lines with their ends; other characters at which Python's splitlines would part are text."""
    *whole, last = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([last] if last else [])]


def _records(lines: Sequence[str], dialect: Dialect) -> list[list[str]]:
    if dialect.format == "tsv":
        return [line.rstrip("\r\n").split("\t") for line in lines if line.rstrip("\r\n")]
    return _csv_records(lines, dialect.separator)


def _csv_records(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Records; one without fields for each that is no csv."""
    reader = csv.reader(lines, delimiter=separator)
    found: list[list[str]] = []
    while True:
        try:
            record = next(reader, None)
        except csv.Error:
            found.append([])
            continue
        if record is None:
            return found
        if record:
            found.append(record)


def missing_header(header: list[str], records: Sequence[list[str]]) -> str | None:
    """Why the first line cannot be one of column names; None where it can.

    An empty first name is that of an index which pandas has written.
    """
    names = [name.strip() for name in header]
    if [name for name in names if name] == [str(place) for place in range(len(names) - names.count(""))]:
        return None  # numbers from 0 on are how pandas writes columns without names
    for place, name in enumerate(names):
        if not name and place > 0:
            return "its first line has an empty field"
        if _is_number(name):
            return f"its first line has the number {name}"
        if len(name) > _LONGEST_NAME or len(name.split()) > 6:
            return f"its first line has the text {name[:40] + '...' if len(name) > 40 else name!r}"
    if len(set(names)) < len(names):
        return "its first line has one field twice"
    for place, name in enumerate(names):
        again = sum(record[place].strip() == name for record in records if record != header)
        if name and again > 1:
            return f"its first line has {name!r}, which other lines have in that place as well"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
