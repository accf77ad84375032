"""Notes on directories that were removed on purpose: `<run_dir>/retired/<folder>/<fingerprint>-<digest>.json`.

A note is written before anything is removed. So what was made from such a directory still leads somewhere, and one
that a kill left half-removed is known for what it is.
"""

from __future__ import annotations

import hashlib

from mapring import storage
from mapring.contract.manifest import RECORD_NAME, canonical_json

FOLDER = "retired"


def note_retired(run_dir: str, folder: str, fingerprint: str, record: bytes, why: str) -> None:
    """Note that the directory with this publish record is removed, and why; the first note on it stands."""
    digest = hashlib.sha256(record).hexdigest()
    storage.create(_uri(run_dir, folder, fingerprint, digest), canonical_json({"record_sha256": digest, "why": why}))


def was_retired(run_dir: str, folder: str, fingerprint: str, record_sha256: str) -> bool:
    """Whether the directory with this publish record was removed on purpose."""
    return storage.exists(_uri(run_dir, folder, fingerprint, record_sha256))


def retired_names(run_dir: str, folder: str) -> frozenset[str]:
    """Fingerprints of which at least one directory was removed on purpose, or is half-way there."""
    return frozenset(name.partition("-")[0] for name in storage.list_names(storage.join(run_dir, FOLDER, folder)))


def is_half_removed(directory: str) -> bool:
    """Whether a directory without a record is what a kill left of one that was being removed."""
    run_dir, folder, name = directory.rstrip("/").rsplit("/", 2)
    return name in retired_names(run_dir, folder) and not storage.exists(storage.join(directory, RECORD_NAME))


def _uri(run_dir: str, folder: str, fingerprint: str, record_sha256: str) -> str:
    return storage.join(run_dir, FOLDER, folder, f"{fingerprint}-{record_sha256[:16]}.json")
