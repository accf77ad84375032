"""Publish by one small file, and read what was published.

Data files carry names that their content determines (`content_name`), and every file is created
whole or not at all (`storage.create`). So a retried or speculative task either finds its own
bytes in place or puts them there; nothing is ever renamed or overwritten. A directory counts
as published from the moment its record exists, and holds exactly the files its manifest names.
"""

from __future__ import annotations

import hashlib
import json

from mapring import storage
from mapring.contract.manifest import RECORD_NAME, FileEntry, Manifest, canonical_json
from mapring.errors import PublishedError


def content_name(stem: str, content: bytes, suffix: str) -> str:
    """A file name that only this content has, such as `train-00003-5f0c9d1e8a7b4c21.parquet`."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"


def write_file(directory: str, path: str, content: bytes, rows: int | None = None) -> FileEntry:
    """Create one file of a directory to be published; a complete earlier copy is accepted."""
    storage.create_identical(storage.join(directory, path), content)
    return FileEntry.of(path, content, rows)


def publish(directory: str, manifest: Manifest) -> bool:
    """Publish a directory whose files are all in place.

    Returns:
        True if this call published it, False if another attempt had done so before: then that
        attempt's manifest stands, and this one's files are garbage where they differ.
    """
    content = manifest.to_json()
    name = content_name("manifest", content, ".json")
    write_file(directory, name, content)
    record = {"manifest": name, "sha256": hashlib.sha256(content).hexdigest()}
    return storage.create(storage.join(directory, RECORD_NAME), canonical_json(record))


def is_published(directory: str) -> bool:
    """Whether the directory has a publish record."""
    return storage.exists(storage.join(directory, RECORD_NAME))


def read_manifest(directory: str) -> Manifest:
    """The manifest of a published directory, checked against its record.

    Raises:
        PublishedError: there is no record, or record and manifest do not fit each other.
    """
    record_uri = storage.join(directory, RECORD_NAME)
    try:
        raw = storage.read_bytes(record_uri)
    except FileNotFoundError:
        raise PublishedError(
            f"{directory}: found no {RECORD_NAME}, expected a published directory; run the stage that makes it"
        ) from None
    try:
        record = json.loads(raw)
        name, digest = record["manifest"], record["sha256"]
    except (ValueError, KeyError, TypeError):
        raise PublishedError(f"{record_uri}: not a publish record; it was damaged: {_REMEDY}") from None
    if raw != canonical_json({"manifest": name, "sha256": digest}):
        raise PublishedError(f"{record_uri}: bytes differ from the form it is written in; it was damaged: {_REMEDY}")
    manifest_uri = storage.join(directory, str(name))
    try:
        content = storage.read_bytes(manifest_uri)
    except (FileNotFoundError, IsADirectoryError):
        raise PublishedError(f"{record_uri}: names the manifest {name!r}, which is not there: {_REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        intact = content_name("manifest", content, ".json") == name  # its own name tells which of the two changed
        damaged = record_uri if intact else manifest_uri
        raise PublishedError(f"{damaged}: was damaged, the record's checksum is not the manifest's: {_REMEDY}")
    try:
        return Manifest.from_json(content)
    except ValueError as error:
        raise PublishedError(
            f"{manifest_uri}: {error}; `mapring migrate` tells what can be read, and why not"
        ) from None


_REMEDY = "remove the directory and run the stage again"
