"""The files of a published directory on this host."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mapring import local_copies, storage
from mapring.contract import Manifest
from mapring.errors import PublishedError


def local_copy(directory: str, manifest: Manifest, remedy: str) -> Path:
    """The directory itself where it is local, else a copy, which belongs to this manifest alone; all files are whole.

    A copy that was damaged is made once more before the directory is blamed.

    Args:
        directory: where it is published.
        manifest: of the directory.
        remedy: what to do where a file of the directory is not as published.

    Raises:
        PublishedError: a file is missing, or has another size than published.
    """
    cache, version = Path.home() / ".cache" / "mapring", hashlib.sha256(manifest.to_json()).hexdigest()
    local = local_copies.localize(directory, cache, version)
    problem = _problem(directory, local, manifest)
    if problem is not None and storage.local_path(directory) is None:
        local_copies.drop_copy(local)
        local = local_copies.localize(directory, cache, version)
        problem = _problem(directory, local, manifest)
    if problem is not None:
        raise PublishedError(f"{problem}; {remedy}")
    return local


def _problem(directory: str, local: Path, manifest: Manifest) -> str | None:
    """The first file of another size than published; `mapring verify` rechecks their bytes."""
    for entry in manifest.files:
        path = local / entry.path
        found = path.stat().st_size if path.is_file() else None
        if found != entry.bytes:
            told = "nothing" if found is None else f"{found} bytes"
            return f"{storage.join(directory, entry.path)}: found {told}, expected {entry.bytes} bytes"
    return None
