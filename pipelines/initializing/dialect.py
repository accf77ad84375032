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
_LONGEST_WORDS = 6
_FEW_QUESTIONS = 0.1  # of what stands below a question that is a name
_MUCH_LONGER = 3.0  # than what stands below it: the question of a survey, and no text like the others
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_LEAST_UTF_8_RUNS = 0.9  # share of the runs of high bytes that are UTF-8, which no other text has by chance
_CHINESE = re.compile("[\u3400-\u9fff]")
# The most frequent characters of modern Chinese (after Jun Da's counts of 2004): two fifths of running text, and a
# quarter of headlines. Korean, Thai and Cyrillic bytes make Chinese characters, too, but hardly any of these.
_FREQUENT_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方"
    "多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
)
_LEAST_FREQUENT = 0.1
_NULS_OF_UTF_16 = 8  # in the first 4 KiB, one for each letter that ASCII has; a stray one or two are none of these


@dataclass(frozen=True)
class Dialect:
    """A csv with this separator, or a tsv, whose quotes are characters like others."""

    format: Literal["csv", "tsv"]
    separator: Literal[",", ";", "\t", "|"]


def guess_encoding(parts: Sequence[bytes]) -> tuple[Encoding, float] | None:
    """The encoding of a file, and the share of lines that are not of it; None where it is none of those that are read.

    UTF-8 where nearly all lines are, since other text is hardly ever UTF-8 by chance.
    """
    if is_utf16(parts[0][:4096]) or b"\x00" in parts[0][:4096]:
        return None
    bad = sum(map(_bad_utf8_lines, parts))
    lines = sum(part.count(b"\n") + 1 for part in parts)
    if bad <= lines / 100:
        return "utf-8", bad / lines
    content = b"".join(parts)
    runs = _HIGH_RUN.findall(content)
    if sum(not _is_bad(run) for run in runs) >= _LEAST_UTF_8_RUNS * len(runs):  # a short file with a broken line or two
        return "utf-8", bad / lines
    doubled = sum(len(run) for run in runs if len(run) > 1)
    if doubled > 0.7 * sum(map(len, runs)):  # in European texts most such characters stand alone
        return ("gb18030", 0.0) if _is_chinese(content.decode("gb18030", "replace")) else None
    return ("cp1252", 0.0) if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", content) else ("latin-1", 0.0)


def is_utf16(start: bytes) -> bool:
    """Whether a file begins as UTF-16 does: by its mark, or with NULs of which nearly all are at even or odd places."""
    if any(start.startswith(mark) for mark in _UTF_16):
        return True
    nuls = start.count(0)
    return nuls >= _NULS_OF_UTF_16 and max(start[::2].count(0), start[1::2].count(0)) > 0.9 * nuls


def _is_chinese(text: str) -> bool:
    """Whether as many of the Chinese characters are frequent ones as in Chinese."""
    found = _CHINESE.findall(text)
    return sum(one in _FREQUENT_CHINESE for one in found) >= _LEAST_FREQUENT * max(1, len(found))


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
        records = _csv_records(lines, separator, is_strict=False)
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
        widths = {len(record) for record in _csv_records(lines, ",", is_strict=False)}
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
    return _csv_records(lines, dialect.separator, is_strict=True)


def _csv_records(lines: Sequence[str], separator: str, *, is_strict: bool) -> list[list[str]]:
    """Records; one without fields for each that is no csv. Strictly, as the pipeline reads, a quote ends a field."""
    reader = csv.reader(lines, delimiter=separator, strict=is_strict)
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

    An empty name is that of an index which pandas has written, or of a column that a spreadsheet has added.
    """
    names = [name.strip() for name in header]
    if [name for name in names if name] == [str(place) for place in range(len(names) - names.count(""))]:
        return None  # numbers from 0 on are how pandas writes columns without names
    for place, name in enumerate(names):
        if _is_number(name):
            return f"its first line has the number {name}"
        if (len(name) > _LONGEST_NAME or len(name.split()) > _LONGEST_WORDS) and not _is_question(name, place, records):
            return f"its first line has the text {name[:40] + '...' if len(name) > 40 else name!r}"
    for place, name in enumerate(names):
        again = sum(record[place].strip() == name for record in records if record != header)
        if name and again > 1:
            return f"its first line has {name!r}, which other lines have in that place as well"
    return None


def _is_question(name: str, place: int, records: Sequence[list[str]]) -> bool:
    """Whether a long first field is what a column of answers was asked, and not a text like those below it."""
    below = [record[place].strip() for record in records if record[place].strip()]
    if not below:
        return False
    asked = name.endswith("?") and sum(text.endswith("?") for text in below) < _FEW_QUESTIONS * len(below)
    return asked or len(name) > _MUCH_LONGER * sum(map(len, below)) / len(below)


def unusable_names(header: Sequence[str]) -> str | None:
    """What is wrong with names that are there, so that no setting could name their columns; None if nothing is."""
    names = [name.strip() for name in header if name.strip()]
    broken = next((name for name in names if "\n" in name or "\r" in name), None)
    if broken is not None:
        return f"the name {broken[:40]!r}, which goes over two lines"
    twice = repeated(names)
    return None if twice is None else f"the name {twice!r} twice"


def repeated(names: Sequence[str]) -> str | None:
    """The first name that was there before; None where each stands once."""
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
