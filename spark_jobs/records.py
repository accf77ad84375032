"""The fused first pass: read, normalize, identify and classify every record, one Arrow batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mapring.text import normalize
from spark_jobs.readers import MALFORMED, UNDECODABLE, read_segment
from spark_jobs.segments import Segment

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EMPTY, MISSING_LABEL = "empty_text", "missing_label"
QUARANTINE_RULES = (MALFORMED, UNDECODABLE)

RECORD = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("text", pa.string()),  # normalized; null where rule says why there is none
        pa.field("label", pa.string()),
        pa.field("rule", pa.string()),  # why the record is dropped; null while it is not
        pa.field("detail", pa.string()),
        pa.field("content_hash", pa.string()),  # of the normalized text: the content's identity
    ]
)


def read_records(
    spark: SparkSession,
    segments: list[Segment],
    *,
    unicode_form: Literal["NFC", "NFKC"],
    unescape_html: bool,
    slices: int,
    on_rows: Callable[[int], None],
) -> DataFrame:
    """All records of the segments as a DataFrame of the RECORD schema.

    `slices` is the number of read tasks; `on_rows` is told how many rows each batch has (an
    accumulator's `add`).
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    read = partial(_read_batches, segments, unicode_form=unicode_form, unescape_html=unescape_html, on_rows=on_rows)
    schema = from_arrow_schema(RECORD)
    return spark.range(0, len(segments), 1, max(1, min(slices, len(segments)))).mapInArrow(read, schema)


def _read_batches(
    segments: list[Segment],
    indices: Iterable[pa.RecordBatch],
    *,
    unicode_form: Literal["NFC", "NFKC"],
    unescape_html: bool,
    on_rows: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    for index in (value for batch in indices for value in batch.column(0).to_pylist()):
        for raw in read_segment(segments[index]):
            on_rows(raw.num_rows)
            yield classify(segments[index], raw, unicode_form=unicode_form, unescape_html=unescape_html)


def classify(
    segment: Segment, raw: pa.RecordBatch, *, unicode_form: Literal["NFC", "NFKC"], unescape_html: bool
) -> pa.RecordBatch:
    """Turn raw records into RECORD rows: identity, normalized text, and the first rule that drops them."""
    source, count = segment.source, raw.num_rows
    text = normalize(raw.column("text"), unicode_form=unicode_form, unescape_html=unescape_html)
    rule = raw.column("rule")
    empty = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(text, ""), True))
    rule = pc.if_else(empty, EMPTY, rule)
    label = pc.utf8_trim_whitespace(raw.column("label"))
    if source.label_column is not None:
        without = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(label, ""), True))
        rule = pc.if_else(without, MISSING_LABEL, rule)
    position = f"{source.name}\0{segment.relative}\0"
    columns = {
        "doc_id": pa.array([document_id(f"{position}{record}") for record in raw.column("record").to_pylist()]),
        "source_id": raw.column("source_id"),
        "source": pa.repeat(source.name, count),
        "path": pa.repeat(segment.relative, count),
        "record": raw.column("record"),
        "text": pc.if_else(pc.is_null(rule), text, pa.scalar(None, pa.string())),
        "label": label,
        "rule": rule,
        "detail": raw.column("detail"),
        "content_hash": pa.array(
            [None if value is None else document_id(value) for value in text.to_pylist()], pa.string()
        ),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in RECORD], schema=RECORD)


def document_id(content: str) -> str:
    """128-bit BLAKE2b digest in hex: of a record's position for its id, of a text for its content hash."""
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
