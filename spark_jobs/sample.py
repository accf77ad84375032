"""A bounded sample of the input files: how much text they hold, in how many documents, before they are read."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import compressed, storage
from mapring.errors import MapringError
from mapring.lineage import SourceFile
from mapring.settings import Input
from spark_jobs.readers import read_segment
from spark_jobs.segments import Segment

_MOST_FILES = 8
_MOST_BYTES = 4 << 20  # decompressed, of all files together: tenths of a second
_BUFFER = 4096
_BZ2_BLOCK = 219 * _BUFFER  # below 900,000 bytes: a block of that size is read whole before any of it comes out
_READ_AHEAD = 64 << 10  # by Arrow's streams, of a compressed file
_LINE_END = (b"\n", 1)  # by what the end of a record is found, and how many bytes of it belong to the record
_RECORD_END = {"warc": (b"\r\n\r\nWARC/1.", 4)}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is known of a corpus before it is read; content, text and documents are estimates for all files.

    Bytes: `content_bytes` of the decompressed files, `text_bytes` of the documents in them, `largest_document` of
    the largest document seen.
    """

    sampled: int
    files: int
    content_bytes: int
    text_bytes: int
    documents: int
    largest_document: int

    @property
    def mean_document(self) -> float:
        """Bytes of text of a document; 0 where none was seen."""
        return self.text_bytes / self.documents if self.documents else 0.0


@dataclass(frozen=True)
class _Part:
    """What was measured of one file, or of several: bytes as stored, content, text; documents; the largest one."""

    stored: float = 0
    content: float = 0
    text: float = 0
    documents: float = 0
    largest: int = 0

    def __add__(self, other: _Part) -> _Part:
        return _Part(
            self.stored + other.stored,
            self.content + other.content,
            self.text + other.text,
            self.documents + other.documents,
            max(self.largest, other.largest),
        )

    def times(self, factor: float) -> _Part:
        """As much of everything as a larger part of like files has."""
        return _Part(
            self.stored * factor, self.content * factor, self.text * factor, self.documents * factor, self.largest
        )


def take_sample(inputs: Iterable[Input], files: Sequence[SourceFile]) -> Sample:
    """Read the first bytes of a few files of each input, Parquet's footers only, and reckon with all files alike.

    A file that cannot be read is passed over here; the task that reads it says what is wrong with it.
    """
    by_name = {source.name: source for source in inputs}
    chosen = _choose([file for file in files if file.bytes])
    most = _MOST_BYTES // max(1, len(chosen))
    with ThreadPoolExecutor(4) as pool:
        measured = list(pool.map(lambda file: _try_to_measure(by_name[file.source], file, most), chosen))
    parts: defaultdict[str, _Part] = defaultdict(_Part)
    for file, part in zip(chosen, measured, strict=True):
        parts[file.source] += part
    total = sum((_estimate(source, files, parts) for source in by_name.values()), _Part())
    return Sample(
        sampled=sum(part.stored > 0 for part in measured),
        files=len(files),
        content_bytes=round(total.content),
        text_bytes=round(total.text),
        documents=round(total.documents),
        largest_document=total.largest,
    )


def _choose(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Some files of each input in turn, spread over the listing by a hash: names often tell of time or topic."""
    ordered = sorted(files, key=lambda file: hashlib.blake2b(f"{file.source}\0{file.relative}".encode()).digest())
    seen: defaultdict[str, int] = defaultdict(int)
    turns = []
    for file in ordered:
        turns.append((seen[file.source], file))
        seen[file.source] += 1
    return [file for _, file in sorted(turns, key=lambda turn: turn[0])][:_MOST_FILES]


def _estimate(source: Input, files: Sequence[SourceFile], parts: Mapping[str, _Part]) -> _Part:
    """All of one input, from its sampled files, or from those of all inputs where it has none."""
    sizes = [file.bytes for file in files if file.source == source.name]
    known = parts.get(source.name, _Part())
    if not known.stored:
        known = sum(parts.values(), _Part())
    if not known.stored:
        return _Part(sum(sizes), sum(sizes), sum(sizes))
    whole = known.times(sum(sizes) / known.stored)
    if source.format != "text_file":
        return whole
    expansion = known.text / known.stored
    return _Part(whole.stored, whole.content, whole.text, len(sizes), round(max(sizes) * expansion))


def _try_to_measure(source: Input, file: SourceFile, most: int) -> _Part:
    try:
        return _measure_footer(source, file) if source.format == "parquet" else _measure(source, file, most)
    except (MapringError, OSError, ValueError, pa.ArrowException):
        return _Part()


def _measure_footer(source: Input, file: SourceFile) -> _Part:
    """Rows of a Parquet file, and the bytes of its text column before compression."""
    with storage.open_read(file.uri) as handle:
        metadata = pq.ParquetFile(handle).metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    wanted = (source.text_column, source.second_text_column)
    sizes = [(c.total_uncompressed_size, c.num_values) for c in columns if c.path_in_schema in wanted]
    text = sum(size for size, _ in sizes)
    largest = max((round(size / rows) for size, rows in sizes if rows), default=0)  # the mean of a row group
    return _Part(file.bytes, text, text, metadata.num_rows, largest)


def _measure(source: Input, file: SourceFile, most: int) -> _Part:
    """The first decompressed bytes of a file, about `most`, read as its records."""
    if compressed.compression(file.uri) == "bz2":
        most = max(1, most // _BZ2_BLOCK) * _BZ2_BLOCK
    with storage.open_read(file.uri) as handle, compressed.decompressing(handle, file.uri, _BUFFER) as stream:
        content = stream.read(most)
        read = handle.tell()
    if len(content) < most:
        stored = file.bytes
    else:
        stored = most if compressed.compression(file.uri) is None else max(1, read - _READ_AHEAD // 2)
    if source.format == "text_file":
        return _Part(stored, len(content), len(content), 1, len(content))
    records = content if len(content) < most else _without_torn_record(content, source.format)
    texts = _read_texts(source, records)
    if not texts.documents and source.format != "warc":  # its pages may all be dropped; else a document is larger
        texts = _Part(text=len(content), documents=1, largest=len(content))
    factor = len(content) / max(1, len(records))
    return _Part(stored, len(content), texts.text * factor, texts.documents * factor, texts.largest)


def _without_torn_record(content: bytes, file_format: str) -> bytes:
    """Content that was cut off, up to the end of its last whole record; all of it where there is none."""
    mark, kept = _RECORD_END.get(file_format, _LINE_END)
    end = content.rfind(mark)
    return content if end < 0 else content[: end + kept]


def _read_texts(source: Input, content: bytes) -> _Part:
    """The texts that the input's reader finds in this content, which it gets as a file of its own."""
    text = documents = largest = 0
    with tempfile.TemporaryDirectory(prefix="mapring-") as folder:
        path = Path(folder, "sample")
        path.write_bytes(content)
        for batch in read_segment(Segment(source=source, uri=str(path), relative=path.name)):
            sizes = pc.add(
                pc.binary_length(batch.column("text")), pc.fill_null(pc.binary_length(batch.column("second_text")), 0)
            )
            text += pc.sum(sizes).as_py() or 0
            documents += len(sizes) - sizes.null_count
            largest = max(largest, pc.max(sizes).as_py() or 0)
    return _Part(text=text, documents=documents, largest=largest)
