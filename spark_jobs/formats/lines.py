"""Texts without fields: a document a line, or a document a file."""

from __future__ import annotations

from collections.abc import Iterator

from mapring import compressed
from spark_jobs.formats.raw import RawRecord, RecordError, decode
from spark_jobs.segments import Segment

_BLOCK_BYTES = 4 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_text(segment: Segment) -> Iterator[RawRecord]:
    """A record for each line."""
    for number, line in numbered_lines(segment):
        try:
            yield RawRecord(number, text=decode(line, segment.source.encoding))
        except RecordError as problem:
            yield problem.to_record(number)


def read_text_file(segment: Segment) -> Iterator[RawRecord]:
    """The whole file as record 1."""
    with compressed.open_text_bytes(segment.uri) as handle:
        content = handle.read()
    try:
        yield RawRecord(1, text=decode(content.removeprefix(_BYTE_ORDER_MARK), segment.source.encoding))
    except RecordError as problem:
        yield problem.to_record(1)


def numbered_lines(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Lines that begin in the segment, with their numbers, without their line ends; the last may have none."""
    with compressed.open_text_bytes(segment.uri) as handle:
        position = segment.start
        if segment.start > 0:
            handle.seek(segment.start - 1)
            most = -1 if segment.end is None else segment.end - segment.start + 1  # no line begins behind that
            position += len(handle.readline(most)) - 1
        number = segment.first_record
        begun: list[bytes] = []  # blocks of a line that is longer than one; joined once
        while (segment.end is None or position < segment.end) and (block := handle.read(_BLOCK_BYTES)):
            first, *others = block.split(b"\n")
            begun.append(first)
            if not others:
                continue
            *whole, rest = [b"".join(begun), *others]
            for line in whole:
                if segment.end is not None and position >= segment.end:
                    return
                yield number, line.removesuffix(b"\r") if number > 1 else _without_ends(line, number)
                position += len(line) + 1
                number += 1
            begun = [rest]
        last = b"".join(begun)
        if last and (segment.end is None or position < segment.end):
            yield number, _without_ends(last, number)


def _without_ends(line: bytes, number: int) -> bytes:
    return line.removeprefix(_BYTE_ORDER_MARK if number == 1 else b"").removesuffix(b"\r")
