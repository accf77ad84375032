"""Compressed files, read as what they hold: gzip, bz2 and zstd, by the end of their names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

import pyarrow as pa

from mapring import storage

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_BUFFER_BYTES = 1 << 20


def compression(uri: str) -> str | None:
    """The compression that the end of a name stands for: gzip (.gz), bz2 (.bz2), zstd (.zst), or none."""
    return _COMPRESSIONS.get(Path(uri).suffix)


def open_text_bytes(uri: str) -> IO[bytes]:
    """Open a file for reading bytes, decompressed as the end of its name says.

    All members of a file that was made of several are read. Reading raises OSError where the file is
    truncated or damaged, or goes on with something else; of bz2 also at an empty member between two others,
    which Arrow 26 takes for damage.
    """
    return decompressing(storage.open_read(uri), uri)


def decompressing(handle: IO[bytes], uri: str, buffer_bytes: int = _BUFFER_BYTES) -> IO[bytes]:
    """The content of an open file, decompressed as the end of its name says, `buffer_bytes` at a time."""
    name = compression(uri)
    if name is None:
        return handle
    stream = pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), name)
    return io.BufferedReader(stream, buffer_bytes)
