"""Documents read again from the input files, by the same readers and the same normalization as the first time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract import Manifest
from mapring.errors import MapringError
from mapring.lineage import SourceFile
from mapring.plan import Plan
from spark_jobs.readers import read_segment
from spark_jobs.records import document_id, document_texts
from spark_jobs.segments import Segment, plan_segments


class Original(NamedTuple):
    """A record of an input file; `text` is normalized and redacted, a pair joined, None where it cannot be read."""

    doc_id: str
    source_id: str | None
    source: str
    path: str
    record: int
    text: str | None


def locate(plan: Plan, doc_id: str, sources: Iterable[str] = ()) -> Original | None:
    """The record with this document id in the files of these inputs; None where the files no longer hold it."""
    return next(records_with(plan, doc_id, sources), None)


def records_with(plan: Plan, wanted: str, sources: Iterable[str] = ()) -> Iterator[Original]:
    """Records with this document id, or your own id, in the files of these inputs (of all, where none is named).

    A document id is a digest of a position, so all records are passed over.
    """
    names = set(sources)
    for file in plan.preprocess_sources:
        if names and file.source not in names:
            continue
        for segment in _segments(plan, file):
            for batch in read_segment(segment):
                pairs = zip(batch.column("record").to_pylist(), batch.column("source_id").to_pylist(), strict=True)
                for row, (record, source_id) in enumerate(pairs):
                    if wanted in (source_id, _document_id(segment, record)):
                        yield _original(plan, segment, batch.slice(row, 1))


def read_again(plan: Plan, source: str, path: str, record: int) -> Original | None:
    """The record at a place that is known; None where the file or the record is no longer there."""
    for file in plan.preprocess_sources:
        if (file.source, file.relative) != (source, path):
            continue
        for segment in _segments(plan, file):
            for batch in read_segment(segment):
                row = pc.index(batch.column("record"), record).as_py()
                if row >= 0:
                    return _original(plan, segment, batch.slice(row, 1))
    return None


def what_changed(plan: Plan, manifest: Manifest, source: str, path: str) -> str | None:
    """Why an input file's text cannot be trusted to be what was preprocessed; None where it can."""
    then = [link for link in manifest.inputs if (link.get("source"), link.get("path")) == (source, path)]
    now = [file for file in plan.preprocess_sources if (file.source, file.relative) == (source, path)]
    if not now:
        return f"{source}/{path} is no longer among the inputs"
    if not then or then[0]["identity"] != now[0].identity:
        return f"{source}/{path} has changed since it was preprocessed"
    return None


def _segments(plan: Plan, file: SourceFile) -> list[Segment]:
    return plan_segments(plan.settings.preprocess.inputs, [file], plan.settings.spark.split_bytes)


def _document_id(segment: Segment, record: int) -> str:
    return document_id(f"{segment.source.name}\0{segment.relative}\0{record}")


def _original(plan: Plan, segment: Segment, raw: pa.RecordBatch) -> Original:
    preprocess = plan.settings.preprocess
    try:
        texts = document_texts(segment.source, raw, preprocess.normalization, preprocess.filters)
    except (MapringError, pa.ArrowException):
        texts = pa.nulls(1, pa.string())
    record = raw.column("record")[0].as_py()
    return Original(
        doc_id=_document_id(segment, record),
        source_id=raw.column("source_id")[0].as_py(),
        source=segment.source.name,
        path=segment.relative,
        record=record,
        text=texts[0].as_py(),
    )
