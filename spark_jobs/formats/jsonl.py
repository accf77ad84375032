"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Any

from mapring.settings import Input
from mapring.values import number_text
from spark_jobs.formats.lines import numbered_lines
from spark_jobs.formats.raw import MALFORMED, RawRecord, RecordError, decode, list_of_labels, without_surrogates
from spark_jobs.segments import Segment

_LINES_AT_ONCE = 256
_SPACE = " \t\n\r"  # what JSON allows around a value
_TEXT_OR_NULL = {str, type(None)}
_decode = json.JSONDecoder().raw_decode


def read_jsonl(segment: Segment) -> Iterator[RawRecord]:
    """A record for each line; an empty line has an empty text."""
    lines = numbered_lines(segment)
    while some := list(islice(lines, _LINES_AT_ONCE)):
        records = _plain_records(some, segment.source)
        yield from _any_records(some, segment.source) if records is None else records


def _plain_records(lines: Sequence[tuple[int, bytes]], source: Input) -> list[RawRecord] | None:
    """The records of lines that are all as they should be, in half the time; None where one is not."""
    values = []
    try:
        for _, line in lines:
            text = line.decode(source.encoding).strip(_SPACE)
            value, end = _decode(text)
            if end != len(text):
                return None
            values.append(value)
        if {*map(type, values)} != {dict}:
            return None
        columns = [[value[source.text_column] for value in values]]
        for name in (source.id_column, source.label_column, source.time_column, source.group_column):
            columns.append([] if name is None else [value.get(name) for value in values])
        second = source.second_text_column
        columns.append([] if second is None else [value[second] for value in values])
        features = [_features(value, source) for value in values] if source.feature_columns else repeat(None)
        for column in columns:
            if not {*map(type, column)} <= _TEXT_OR_NULL:
                return None
            "".join(filter(None, column)).encode()
    except (ValueError, KeyError, RecursionError):  # the other way says which line, and what is wrong
        return None
    texts, ids, *others = (column or repeat(None) for column in columns)
    numbers = [number for number, _ in lines]
    return list(map(RawRecord, numbers, ids, texts, *others, features))


def _any_records(lines: Sequence[tuple[int, bytes]], source: Input) -> Iterator[RawRecord]:
    for number, line in lines:
        try:
            text = decode(line, source.encoding)
            if not text.strip():
                yield RawRecord(number, text="")
                continue
            value = _object(text)
            for column in (source.text_column, source.second_text_column):
                if column is not None and column not in value:
                    raise RecordError(MALFORMED, f"found no key {column!r}")
            yield RawRecord(
                number,
                source_id=_scalar(value, source.id_column),
                text=_text(value, source),
                label=_label(value, source.label_column),
                time=_scalar(value, source.time_column),
                group=_scalar(value, source.group_column),
                second_text=None if source.second_text_column is None else _prose(value, source.second_text_column),
                features=_features(value, source),
            )
        except RecordError as problem:
            yield problem.to_record(number)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(MALFORMED, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecordError(MALFORMED, f"found a JSON {type(value).__name__}, expected an object")
    return value


def _text(value: dict[str, Any], source: Input) -> str | None:
    """The text; a number also where it is the id, as of interactions, whose item is all they have."""
    if source.text_column == source.id_column:
        return _scalar(value, source.text_column)
    return _prose(value, source.text_column)


def _prose(value: dict[str, Any], column: str) -> str | None:
    text = without_surrogates(value[column], column)
    if text is not None and not isinstance(text, str):
        raise RecordError(MALFORMED, f"{column!r} is a {type(text).__name__}, expected text")
    return text


def _scalar(value: dict[str, Any], column: str | None) -> str | None:
    found = None if column is None else without_surrogates(value.get(column), column)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, int | float):
        return number_text(found)
    raise RecordError(MALFORMED, f"{column!r} is a {type(found).__name__}, expected text or a number")


def _label(value: dict[str, Any], column: str | None) -> str | None:
    found = None if column is None else value.get(column)
    if isinstance(found, list):
        return list_of_labels([without_surrogates(name, str(column)) for name in found], column)
    return _scalar(value, column)


def _features(value: dict[str, Any], source: Input) -> list[str | None] | None:
    """Texts as they are and numbers as JSON writes them; what is neither comes as JSON, too, told and counted later."""
    if not source.feature_columns:
        return None
    return [_feature(value.get(name)) for name in source.feature_columns]


def _feature(found: Any) -> str | None:
    if found is None:
        return None
    written = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:  # half a character, which UTF-8 cannot hold
        return json.dumps(found)
    return written
