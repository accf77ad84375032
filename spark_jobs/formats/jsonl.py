"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spark_jobs.formats.lines import numbered_lines
from spark_jobs.formats.raw import MALFORMED, RawRecord, RecordError, decode, without_surrogates
from spark_jobs.segments import Segment


def read_jsonl(segment: Segment) -> Iterator[RawRecord]:
    """A record for each line; an empty line has an empty text."""
    source = segment.source
    for number, line in numbered_lines(segment):
        try:
            text = decode(line, source.encoding)
            if not text.strip():
                yield RawRecord(number, text="")
                continue
            value = _object(text)
            if source.text_column not in value:
                raise RecordError(MALFORMED, f"found no key {source.text_column!r}")
            yield RawRecord(
                number,
                source_id=_scalar(value, source.id_column),
                text=_text(value, source.text_column),
                label=_scalar(value, source.label_column),
                time=_scalar(value, source.time_column),
                group=_scalar(value, source.group_column),
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


def _text(value: dict[str, Any], column: str) -> str | None:
    text = without_surrogates(value[column], column)
    if text is not None and not isinstance(text, str):
        raise RecordError(MALFORMED, f"{column!r} is a {type(text).__name__}, expected text")
    return text


def _scalar(value: dict[str, Any], column: str | None) -> str | None:
    found = None if column is None else without_surrogates(value.get(column), column)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, int | float):
        return json.dumps(found)
    raise RecordError(MALFORMED, f"{column!r} is a {type(found).__name__}, expected text or a number")
