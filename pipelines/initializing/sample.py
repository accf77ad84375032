"""Pieces of a file: all of a small one, else its beginning, middle and end, so that 100 MB take as long as 10."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import compressed
from mapring.errors import SettingsError

_WHOLE_BYTES = 8 << 20
_PART_BYTES = 2 << 20
_MOST_BYTES = 200 << 20  # of a compressed file, which are decompressed in less than a second
_PART_ROWS = 5000  # of a Parquet file
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CUT_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")  # the beginning of one in UTF-8


@dataclass(frozen=True)
class Sample:
    """What was read of a file of lines.

    `parts` are one piece, or those of the beginning, middle and end; each begins behind a line break and ends with one.
    `total` are the bytes of the whole file as far as they are known: of a compressed one of which only the beginning
    was read they are extrapolated. `places` says in words what was looked at.
    """

    parts: tuple[bytes, ...]
    total: float
    is_whole: bool
    places: str

    @property
    def read(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, self.parts))


def read_sample(path: Path) -> Sample:
    """Pieces of a file of lines, decompressed as the end of its name says.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        if compressed.compression(str(path)) is None:
            return _plain_sample(path)
        return _compressed_sample(path)
    except (OSError, pa.ArrowException) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); repair the file, or correct the end of its name"
        ) from None


def _plain_sample(path: Path) -> Sample:
    size = path.stat().st_size
    with path.open("rb") as handle:
        if size <= _WHOLE_BYTES:
            return Sample((handle.read().removeprefix(_BYTE_ORDER_MARK),), size, True, "all of it")
        part = handle.read(_PART_BYTES)
        if b"\n" not in part:  # a line of megabytes: at least one is looked at, as far as a whole small file would be
            part += handle.readline(_WHOLE_BYTES - _PART_BYTES)
        parts = [_to_line_end(part).removeprefix(_BYTE_ORDER_MARK)]
        for start in (size // 2, size - _PART_BYTES):
            handle.seek(start)
            part = handle.read(_PART_BYTES)
            part = _from_line_start(part)
            parts.append(_to_line_end(part) if start + _PART_BYTES < size else part)
    return Sample(
        (parts[0], *filter(None, parts[1:])), size, False, "pieces of 2 MB each from its beginning, middle and end"
    )


def _compressed_sample(path: Path) -> Sample:
    """All of a small content; else its beginning, its end and a piece between, found while it is read once."""
    with path.open("rb") as raw:
        handle = compressed.decompressing(raw, str(path))
        content = handle.read(_WHOLE_BYTES).removeprefix(_BYTE_ORDER_MARK)
        if len(content) < _WHOLE_BYTES - len(_BYTE_ORDER_MARK):
            return Sample((content,), len(content), True, "all of it")
        blocks = {0: content[:_PART_BYTES]}
        count, last, total = _WHOLE_BYTES // _PART_BYTES, content[-_PART_BYTES:], len(content)
        while total < _MOST_BYTES and (block := handle.read(_PART_BYTES)):
            blocks |= {count: block} if count.bit_count() == 1 else {}  # one of these is near the middle of any count
            count, last, total = count + 1, block if len(block) == _PART_BYTES else last + block, total + len(block)
        taken = raw.tell() / os.fstat(raw.fileno()).st_size if total >= _MOST_BYTES else 1.0
    middle = min((place for place in blocks if place), key=lambda place: abs(place - count // 2), default=0)
    parts = [_to_line_end(blocks[0]), *([_to_line_end(_from_line_start(blocks[middle]))] if middle else [])]
    parts.append(_from_line_start(last) if taken == 1.0 else _to_line_end(_from_line_start(last)))
    parts = [parts[0], *filter(None, parts[1:])]
    what = "it" if taken == 1.0 else f"its first {total >> 20} MB, uncompressed"
    places = f"pieces of 2 MB each from the beginning, middle and end of {what}"
    return Sample(tuple(parts), total / taken, False, places)


def _from_line_start(part: bytes) -> bytes:
    """What is behind the first line break; nothing where there is none, for it is the middle of a line."""
    return part.partition(b"\n")[2]


def _to_line_end(part: bytes) -> bytes:
    """What is before the last line break; where there is none all, but for the bytes of a character that was cut."""
    return part[: part.rfind(b"\n") + 1] or _CUT_CHARACTER.sub(b"", part)


@dataclass(frozen=True)
class ParquetSample:
    """Rows of a Parquet file, the number of all its rows, and in words which ones they are."""

    table: pa.Table
    rows: int
    is_whole: bool
    places: str


def read_parquet_sample(path: Path) -> ParquetSample:
    """All rows of a small Parquet file, else those of its first, middle and last row group.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            rows, groups = file.metadata.num_rows, file.metadata.num_row_groups
            if rows <= 3 * _PART_ROWS:
                return ParquetSample(file.read(), rows, True, "all of it")
            chosen = dict.fromkeys((0, groups // 2, groups - 1))
            batches = [
                next(file.iter_batches(batch_size=3 * _PART_ROWS // len(chosen), row_groups=[group]))
                for group in chosen
            ]
            places = f"{sum(len(batch) for batch in batches):,} rows of {len(chosen)} row groups"
            return ParquetSample(pa.Table.from_batches(batches), rows, False, places)
    except (OSError, pa.ArrowException) as error:
        raise SettingsError(f"{path}: cannot be read as parquet ({error}); repair the file, or pass --format") from None
