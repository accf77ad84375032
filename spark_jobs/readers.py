"""Read one segment into Arrow batches of raw records; what cannot be read says why.

A record that breaks its format, or whose bytes are not of the declared encoding, comes out as a
row with a `rule` and a `detail` instead of a text, so that it is counted and can be found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa

from mapring.errors import InputError
from spark_jobs.formats.delimited import read_delimited
from spark_jobs.formats.jsonl import read_jsonl
from spark_jobs.formats.lines import read_text, read_text_file
from spark_jobs.formats.parquet import read_parquet
from spark_jobs.formats.raw import RAW, RawRecord
from spark_jobs.formats.warc import read_warc
from spark_jobs.segments import Segment

_READERS: Mapping[str, Callable[[Segment], Iterator[RawRecord]]] = {
    "text": read_text,
    "text_file": read_text_file,
    "jsonl": read_jsonl,
    "csv": read_delimited,
    "tsv": read_delimited,
    "parquet": read_parquet,
    "warc": read_warc,
}
BATCH_ROWS, BATCH_BYTES = 8192, 16 << 20


def read_segment(segment: Segment) -> Iterator[pa.RecordBatch]:
    """Yield the segment's records as batches of the RAW schema, in order.

    Raises:
        InputError: the file itself is damaged (a truncated gzip, a broken Parquet page); what
            follows the damage cannot be counted, so it is not skipped.
    """
    try:
        yield from _batches(_READERS[segment.source.format](segment))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{segment.uri}: the file is damaged or incomplete ({error}); replace it or take it out of the inputs"
        ) from error


def _batches(records: Iterable[RawRecord]) -> Iterator[pa.RecordBatch]:
    rows: list[RawRecord] = []
    characters = 0
    for record in records:
        rows.append(record)
        characters += len(record.text or "") + len(record.second_text or "")
        if len(rows) >= BATCH_ROWS or characters >= BATCH_BYTES:
            yield _to_batch(rows)
            rows, characters = [], 0
    if rows:
        yield _to_batch(rows)


def _to_batch(rows: list[RawRecord]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW)
