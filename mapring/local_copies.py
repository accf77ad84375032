"""Local copies of remote directories, for libraries that read none but local files; whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
from pathlib import Path

from mapring import storage
from mapring.errors import InputError


def localize(uri: str, cache: Path, version: str = "") -> Path:
    """A local directory with the files below `uri`: itself when local, else a copy under `cache`.

    Args:
        uri: of a directory.
        cache: where copies are kept.
        version: tells what stands at the URI now from what stood there before; each has a copy of its own.

    Raises:
        InputError: nothing stands there.
    """
    local = storage.local_path(uri)
    if local is not None:
        if not local.exists():
            raise InputError(f"{uri}: found nothing there, expected a directory; check the path")
        return local
    key = f"{uri}\0{version}" if version else uri
    target = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not target.exists():
        partial = cache / f"{target.name}.{uuid.uuid4().hex}"
        try:
            storage.download(uri, partial)
            partial.replace(target)
        except OSError:  # another process of this host was faster; its copy is complete
            if not target.exists():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def drop_copy(local: Path) -> None:
    """Remove a copy that `localize` made, all at once, so that nobody takes what is left of it for whole."""
    dropped = local.with_name(f"{local.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):  # another process has dropped it
        local.rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)
