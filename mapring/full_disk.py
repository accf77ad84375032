"""A disk or quota that is full, told so that the user knows where to make room."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mapring.errors import DiskFullError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


def is_full(error: OSError) -> bool:
    """Whether an error of the operating system says that there is no room left, on the disk or in the quota."""
    return error.errno in _FULL


@contextmanager
def told_when_full(uri: str, needed: int) -> Iterator[None]:
    """Turn "no room left" inside the body into one line for the user; other errors pass.

    Args:
        uri: the file that is written.
        needed: its size in bytes.

    Raises:
        DiskFullError: there is no room for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"{uri}: {_FULL[error.errno]}: found {_free(uri)}, expected room for {needed:,} bytes; make room "
            "there, or give another run_dir, and run the same command again"
        ) from error


def _free(uri: str) -> str:
    """What is free on the disk that a local path is on (a quota may allow less)."""
    if "://" in uri:
        return "too little"
    place = Path(uri)
    while not place.exists() and place != place.parent:
        place = place.parent
    return f"{shutil.disk_usage(place).free:,} bytes free"
