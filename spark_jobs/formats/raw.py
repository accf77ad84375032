"""Raw records: what every reader makes of a file, and why a record is not one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from mapring.values import number_text

MALFORMED, UNDECODABLE = "malformed_record", "undecodable_bytes"
NOT_HTML, HTTP_STATUS = "not_html", "http_status"
QUARANTINE_RULES = (MALFORMED, UNDECODABLE)  # what is wrong with the input
READ_RULES = (*QUARANTINE_RULES, NOT_HTML, HTTP_STATUS)  # all that readers drop

RAW = pa.schema(
    [
        pa.field("record", pa.int64(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("label", pa.string()),
        pa.field("time", pa.string()),
        pa.field("group", pa.string()),
        pa.field("second_text", pa.string()),
        pa.field("features", pa.list_(pa.string())),  # in the order of feature_columns; null where none is named
        pa.field("rule", pa.string()),
        pa.field("detail", pa.string()),
    ]
)


class RawRecord(NamedTuple):
    """One record as read, in the order of the RAW schema."""

    record: int
    source_id: str | None = None
    text: str | None = None
    label: str | None = None
    time: str | None = None
    group: str | None = None
    second_text: str | None = None
    features: list[str | None] | None = None
    rule: str | None = None
    detail: str | None = None


class RecordError(Exception):
    """Why one record is dropped as it is read."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail

    def to_record(self, number: int, source_id: str | None = None) -> RawRecord:
        """The record of this number, dropped."""
        return RawRecord(number, source_id=source_id, rule=self.rule, detail=self.detail)


LIST_END = "\x1f"  # behind each name of a list of labels: a control character, which no name has


def list_of_labels(names: Sequence[Any], column: str | None) -> str:
    """A list of labels as one text, as `spark_jobs.labels` reads it.

    Raises:
        RecordError: an item is no text or number, or holds the character that ends it.
    """
    texts = [number_text(name) if isinstance(name, int | float) else name for name in names]
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str) or LIST_END in text:
            shown = str(name)[:40]
            raise RecordError(MALFORMED, f"{column!r} has {shown!r} in its list, expected texts or numbers")
    return "".join(f"{text}{LIST_END}" for text in texts) or LIST_END


def decode(content: bytes, encoding: str) -> str:
    """Bytes as text. Raises RecordError with the first byte that is not of the encoding."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        detail = f"byte 0x{content[error.start]:02x} at position {error.start + 1} is not {encoding}"
        raise RecordError(UNDECODABLE, detail) from None


def without_surrogates(text: Any, column: str) -> Any:
    """The value itself. Raises RecordError where it is a text that UTF-8 cannot hold."""
    try:
        if isinstance(text, str):
            text.encode()
    except UnicodeEncodeError as error:
        detail = f"{column!r} has a lone surrogate at position {error.start + 1}"
        raise RecordError(UNDECODABLE, detail) from None
    return text
