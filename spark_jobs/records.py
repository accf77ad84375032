"""The fused first pass: read, normalize, identify and classify every record, one Arrow batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mapring.care.forgotten import FORGOTTEN, Exclusion
from mapring.pairs import as_lines, join_pairs
from mapring.settings import Input
from mapring.settings.filters import Filters
from mapring.settings.normalization import Normalization
from mapring.text import normalize
from spark_jobs.filters.c4 import clean_lines
from spark_jobs.filters.judging import apply_filters
from spark_jobs.formats.raw import MALFORMED, RAW, READ_RULES
from spark_jobs.labels import ONE_NAME, Labels
from spark_jobs.readers import BATCH_BYTES, BATCH_ROWS, read_segment
from spark_jobs.segments import Segment

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EMPTY, MISSING_LABEL = "empty_text", "missing_label"
UNJUDGED_RULES = (*READ_RULES, EMPTY, MISSING_LABEL, FORGOTTEN)  # of records that no filter has looked at
NOTHING = Exclusion()

RECORD = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("text", pa.string()),  # normalized, a pair joined; null where rule says why there is none
        pa.field("label", pa.string()),  # as `spark_jobs.labels` reads it
        pa.field("time", pa.string()),  # as it stands in the input
        pa.field("group", pa.string()),  # whose documents are all in one split
        pa.field("features", pa.list_(pa.string())),  # as they stand in the input
        pa.field("given_split", pa.string()),  # where the input's settings say it
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
    nothing is measured; a pair is measured as one text with a line break between the two. Of documents that
    are `left_out` nothing is kept but their place and the rule.
    """

    segments: Sequence[Segment]
    normalization: Normalization
    filters: Filters | None
    on_rows: Callable[[int], None]
    labels: Labels = ONE_NAME
    left_out: Exclusion = NOTHING

    def __call__(self, indices: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """RECORD batches of the segments at these indices."""
        segments = (self.segments[value] for batch in indices for value in batch.column(0).to_pylist())
        for source, paths, raw in _joined((segment, raw) for segment in segments for raw in read_segment(segment)):
            self.on_rows(raw.num_rows)
            yield self.classify(source, paths, raw)

    def classify(self, source: Input, paths: Sequence[str], raw: pa.RecordBatch) -> pa.RecordBatch:
        """Turn raw records into RECORD rows: identity, normalized text, and the first rule that drops them.

        `paths` has the file of each record, as its place below the input's root.
        """
        count = raw.num_rows
        text = document_texts(source, raw, self.normalization, self.filters)
        label = self.labels.read(raw.column("label"), source.label_column)
        rule = pc.if_else(pc.is_valid(label.problems), MALFORMED, raw.column("rule"))
        empty = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(text, ""), True))
        rule = pc.if_else(empty, EMPTY, rule)
        if source.label_column is not None and self.labels.kind == "one":
            without = pc.and_(pc.is_null(rule), pc.fill_null(pc.equal(label.values, ""), True))
            rule = pc.if_else(without, MISSING_LABEL, rule)
        places = zip(paths, raw.column("record").to_pylist(), strict=True)
        doc_ids = [document_id(f"{source.name}\0{path}\0{record}") for path, record in places]
        hashes = [document_id(value) if value else None for value in text.to_pylist()]  # blank ones are nobody's
        gone = pa.array(self._is_left_out(doc_ids, hashes), pa.bool_())
        rule = pc.if_else(gone, FORGOTTEN, rule)
        is_pair = source.second_text_column is not None
        judged = as_lines(text) if is_pair else text
        verdict = apply_filters(judged, rule, self.filters, self.normalization.unicode_form)
        group = pc.utf8_trim_whitespace(raw.column("group"))
        columns = {
            "doc_id": pa.array(doc_ids),
            "source_id": pc.if_else(gone, None, raw.column("source_id")),
            "source": pa.repeat(source.name, count),
            "path": pa.array(paths, pa.string()),
            "record": raw.column("record"),
            "text": pc.if_else(pc.is_null(verdict.rule), text, pa.scalar(None, pa.string())),
            "label": label.values,
            "time": raw.column("time"),
            "group": pc.if_else(pc.equal(group, ""), pa.scalar(None, pa.string()), group),
            "features": raw.column("features"),
            "given_split": pa.array([source.split] * count, pa.string()),
            "rule": verdict.rule,
            "detail": pc.if_else(gone, None, pc.coalesce(raw.column("detail"), label.problems)),
            "content_hash": pc.if_else(gone, None, pa.array(hashes, pa.string())),
            "measured": verdict.measured,
            "threshold": verdict.threshold,
            "language": verdict.languages,
            "measures": verdict.measures,
        }
        return pa.RecordBatch.from_arrays([columns[field.name] for field in RECORD], schema=RECORD)

    def _is_left_out(self, doc_ids: Sequence[str], hashes: Sequence[str | None]) -> list[bool]:
        if not self.left_out:
            return [False] * len(doc_ids)
        ids, texts = self.left_out.doc_ids, self.left_out.hashes
        return [doc_id in ids or value in texts for doc_id, value in zip(doc_ids, hashes, strict=True)]


def document_texts(
    source: Input, raw: pa.RecordBatch, normalization: Normalization, filters: Filters | None
) -> pa.StringArray:
    """The texts of raw records as they are judged and published; the two of a pair are prepared alike and joined.

    A pair is null where one of its texts is null or empty.
    """
    texts = prepare_texts(raw.column("text"), normalization, filters)
    if source.second_text_column is None:
        return texts
    return join_pairs(texts, prepare_texts(raw.column("second_text"), normalization, filters))


def prepare_texts(texts: pa.StringArray, normalization: Normalization, filters: Filters | None) -> pa.StringArray:
    """Texts as they are judged and published: normalized, and without the lines that C4 drops where asked for."""
    texts = normalize(texts, normalization)
    return clean_lines(texts) if filters is not None and filters.c4_lines else texts


def _joined(
    parts: Iterable[tuple[Segment, pa.RecordBatch]],
) -> Iterator[tuple[Input, list[str], pa.RecordBatch]]:
    """Join the batches of small files of one source, which would else cost more than what is in them."""
    waiting: list[tuple[Segment, pa.RecordBatch]] = []
    rows = size = 0
    for segment, raw in parts:
        full = rows + raw.num_rows > BATCH_ROWS or size + raw.nbytes > BATCH_BYTES
        if waiting and (full or waiting[0][0].source is not segment.source):
            yield _join(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append((segment, raw))
        rows, size = rows + raw.num_rows, size + raw.nbytes
    if waiting:
        yield _join(waiting)


def _join(parts: Sequence[tuple[Segment, pa.RecordBatch]]) -> tuple[Input, list[str], pa.RecordBatch]:
    paths = [path for segment, raw in parts for path in [segment.relative] * raw.num_rows]
    (joined,) = pa.Table.from_batches([raw for _, raw in parts], RAW).combine_chunks().to_batches()
    return parts[0][0].source, paths, joined


def read_records(
    spark: SparkSession,
    first_pass: FirstPass,
    slices: int,
    then: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    schema: pa.Schema = RECORD,
) -> DataFrame:
    """All records of the segments as a DataFrame, read by `slices` tasks.

    Args:
        spark: the session.
        first_pass: reads the segments.
        slices: how many tasks there are at most.
        then: what becomes of each RECORD batch, in the same task; None keeps it.
        schema: of what comes out.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    count = len(first_pass.segments)
    rows = spark.range(0, count, 1, max(1, min(slices, count)))
    if then is None:
        return rows.mapInArrow(lambda batches: first_pass(batches), from_arrow_schema(schema))
    return rows.mapInArrow(lambda batches: map(then, first_pass(batches)), from_arrow_schema(schema))


def document_id(content: str) -> str:
    """128-bit BLAKE2b digest in hex: of a record's position for its id, of a text for its content hash."""
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
