"""Cut the input files into segments, the units that one task reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow.parquet as pq

from mapring import compressed, storage
from mapring.errors import InputError
from mapring.lineage import SourceFile
from mapring.progress import say
from mapring.settings import Input

_BLOCK_BYTES = 1 << 20
_MUCH_LARGER = 2  # times; a compressed file holds a few times its size besides


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of one file: bytes [start, end) of a text or jsonl file, row groups [start, end) of a
    Parquet file, or a whole file (end is None) where records cannot be found from the middle.

    `first_record` numbers the first line that begins in the segment, or its first row, from 1.
    """

    source: Input
    uri: str
    relative: str
    start: int = 0
    end: int | None = None
    first_record: int = 1


def plan_segments(inputs: Iterable[Input], files: Iterable[SourceFile], split_bytes: int) -> list[Segment]:
    """Segments of all files, in the order of the files; none has much more than `split_bytes`.

    Line numbers of the later segments of a file need one pass over the earlier ones: newlines are
    counted here, at the speed of the disk, and only in files larger than `split_bytes`.

    Raises:
        InputError: a file that is compressed by its name has no bytes.
    """
    by_name = {source.name: source for source in inputs}
    whole = [Segment(source=by_name[file.source], uri=file.uri, relative=file.relative) for file in files]
    sizes = [file.bytes for file in files]
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda pair: _split(pair[0], pair[1], split_bytes), zip(whole, sizes, strict=True))
        return [segment for part in parts for segment in part]


def _split(segment: Segment, size: int, split_bytes: int) -> list[Segment]:
    packed = compressed.compression(segment.uri) if segment.source.format != "parquet" else None
    if size == 0 and packed is not None:  # not even an empty file is that short when it is compressed
        raise InputError(
            f"{segment.uri}: found 0 bytes, expected a file compressed by {packed}: it was not written to its end, as "
            "on a full disk; replace it or take it out of the inputs"
        )
    if size == 0 and segment.source.format != "text_file":  # an empty one is an empty document
        return []
    if segment.source.format == "parquet":
        return _split_row_groups(segment, split_bytes)
    if not _is_splittable(segment.source.format, segment.uri) or size <= split_bytes:
        return [segment]
    return _split_lines(segment, size, split_bytes)


def _is_splittable(file_format: str, uri: str) -> bool:
    return file_format in ("text", "jsonl") and compressed.compression(uri) is None


def unsplittable(inputs: Iterable[Input], files: Iterable[SourceFile], split_bytes: int) -> list[SourceFile]:
    """Files much larger than `split_bytes` that one task has to read alone, compressed ones and csv, largest first.

    Their records are many times more than those of other tasks, so what follows the reading must spread them.
    """
    formats = {source.name: source.format for source in inputs}
    large = [
        file
        for file in files
        if file.bytes > _MUCH_LARGER * split_bytes
        and formats[file.source] not in ("parquet", "text_file")
        and not _is_splittable(formats[file.source], file.uri)
    ]
    return sorted(large, key=lambda file: (-file.bytes, file.source, file.relative))


def tell_unsplittable(stage: str, files: Sequence[SourceFile]) -> None:
    """Say that records of such files are read by one task each and then spread over all partitions."""
    if files:
        say(
            stage,
            f"{len(files)} large files cannot be split (the largest is {files[0].relative}, "
            f"{files[0].bytes / 1e6:,.1f} MB): one task reads each, then "
            "their records are spread over all partitions; many small files read faster",
        )


def _split_lines(segment: Segment, size: int, split_bytes: int) -> list[Segment]:
    segments = []
    lines_before, last_byte = 0, b"\n"
    with storage.open_read(segment.uri) as handle:
        for start in range(0, size, split_bytes):
            end = min(start + split_bytes, size)
            begins_line = last_byte == b"\n"
            first_record = lines_before + (1 if begins_line else 2)
            segments.append(replace(segment, start=start, end=end, first_record=first_record))
            for position in range(start, end, _BLOCK_BYTES):
                block = handle.read(min(_BLOCK_BYTES, end - position))
                lines_before += block.count(b"\n")
                last_byte = block[-1:]
    return segments


def _split_row_groups(segment: Segment, split_bytes: int) -> list[Segment]:
    with storage.open_read(segment.uri) as handle:
        metadata = pq.ParquetFile(handle).metadata
        sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
        rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    segments: list[Segment] = []
    start, first_record = 0, 1
    for end in range(1, len(sizes) + 1):
        if sum(sizes[start:end]) >= split_bytes or end == len(sizes):
            segments.append(replace(segment, start=start, end=end, first_record=first_record))
            first_record += sum(rows[start:end])
            start = end
    return segments
