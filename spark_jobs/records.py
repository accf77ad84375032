"""The fused first pass: read, normalize, identify and classify every record, one Arrow batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mapring.settings.filters import Filters
from mapring.settings.normalization import Normalization
from mapring.text import normalize
from spark_jobs.filters.c4 import clean_lines
from spark_jobs.filters.judging import apply_filters
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
        pa.field("measured", pa.string()),  # what the rule saw, where it is a bound on a measure
        pa.field("threshold", pa.string()),  # and the bound
        pa.field("language", pa.string()),  # where languages are asked for
        pa.field("measures", pa.list_(pa.float32())),  # in the order of `measures_of`; null where nothing was measured
    ]
)


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """Reads, normalizes, identifies and judges the records of segments; runs inside tasks.

    `on_rows` is told how many rows each batch has (an accumulator's `add`). Without `filters`
    nothing is measured.
    """

    segments: Sequence[Segment]
    normalization: Normalization
    filters: Filters | None
    on_rows: Callable[[int], None]

    def __call__(self, indices: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """RECORD batches of the segments at these indices."""
        for index in (value for batch in indices for value in batch.column(0).to_pylist()):
            for raw in read_segment(self.segments[index]):
                self.on_rows(raw.num_rows)
                yield self.classify(self.segments[index], raw)

    def classify(self, segment: Segment, raw: pa.RecordBatch) -> pa.RecordBatch:
        """Turn raw records into RECORD rows: identity, normalized text, and the first rule that drops them."""
        source, count = segment.source, raw.num_rows
        text = normalize(raw.column("text"), self.normalization)
        if self.filters is not None and self.filters.c4_lines:
            text = clean_lines(text)
        rule = raw.column("rule")
        empty = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(text, ""), True))
        rule = pc.if_else(empty, EMPTY, rule)
        label = pc.utf8_trim_whitespace(raw.column("label"))
        if source.label_column is not None:
            without = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(label, ""), True))
            rule = pc.if_else(without, MISSING_LABEL, rule)
        verdict = apply_filters(text, rule, self.filters)
        position = f"{source.name}\0{segment.relative}\0"
        columns = {
            "doc_id": pa.array([document_id(f"{position}{record}") for record in raw.column("record").to_pylist()]),
            "source_id": raw.column("source_id"),
            "source": pa.repeat(source.name, count),
            "path": pa.repeat(segment.relative, count),
            "record": raw.column("record"),
            "text": pc.if_else(pc.is_null(verdict.rule), text, pa.scalar(None, pa.string())),
            "label": label,
            "rule": verdict.rule,
            "detail": raw.column("detail"),
            "content_hash": pa.array(
                [None if value is None else document_id(value) for value in text.to_pylist()], pa.string()
            ),
            "measured": verdict.measured,
            "threshold": verdict.threshold,
            "language": verdict.languages,
            "measures": verdict.measures,
        }
        return pa.RecordBatch.from_arrays([columns[field.name] for field in RECORD], schema=RECORD)


def read_records(spark: SparkSession, first_pass: FirstPass, slices: int) -> DataFrame:
    """All records of the segments as a DataFrame of the RECORD schema, read by `slices` tasks."""
    from pyspark.sql.pandas.types import from_arrow_schema

    count = len(first_pass.segments)
    rows = spark.range(0, count, 1, max(1, min(slices, count)))
    return rows.mapInArrow(lambda batches: first_pass(batches), from_arrow_schema(RECORD))


def document_id(content: str) -> str:
    """128-bit BLAKE2b digest in hex: of a record's position for its id, of a text for its content hash."""
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
