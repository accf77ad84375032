"""Seals of the scores table: what Delta lacks, a checksum of each scoring's entry in the table's log.

The seal of version n is the small file `_mapring/<n>-<SHA-256 of the log entry>.seal`: its name
says all, its content repeats the name, so that damage to the entry and damage to the seal are told
apart. Readers of Delta pass over names that begin with an underscore, and so does VACUUM.
"""

from __future__ import annotations

import hashlib
import re

from mapring import storage

_FOLDER = "_mapring"
_NAME = re.compile(r"(\d{20})-([0-9a-f]{64})\.seal")


def _entry(uri: str, version: int) -> str:
    return storage.join(uri, "_delta_log", f"{version:020d}.json")


def seal(uri: str, version: int) -> None:
    """Seal the log entry of one version; sealing it again changes nothing."""
    digest = hashlib.sha256(storage.read_bytes(_entry(uri, version))).hexdigest()
    name = f"{version:020d}-{digest}.seal"
    storage.create_identical(storage.join(uri, _FOLDER, name), f"{name}\n".encode())


def sealed_versions(uri: str) -> set[int]:
    """Versions of the table that have a seal."""
    return {int(found[1]) for name in _names(uri) if (found := _NAME.fullmatch(name))}


def broken_seals(uri: str) -> list[str]:
    """Problems of seals and of the log entries they stand for, each naming the file it is about.

    An entry that Delta's own log clean-up has removed, because a later checkpoint holds it, is no problem.
    """
    problems = []
    for name in _names(uri):
        seal_uri = storage.join(uri, _FOLDER, name)
        found = _NAME.fullmatch(name)
        if found is None or storage.read_bytes(seal_uri) != f"{name}\n".encode():
            problems.append(f"{seal_uri}: is not the seal it was written as")
            continue
        entry = _entry(uri, int(found[1]))
        if not storage.exists(entry):
            if not storage.exists(storage.join(uri, "_delta_log", "_last_checkpoint")):
                problems.append(f"{entry}: is missing, its seal is there")
        elif hashlib.sha256(storage.read_bytes(entry)).hexdigest() != found[2]:
            problems.append(f"{entry}: checksum differs from its seal")
    return problems


def _names(uri: str) -> list[str]:
    # Names that begin with a dot are of seals that a kill left half-written, and stand for nothing.
    return [name for name in storage.list_names(storage.join(uri, _FOLDER)) if not name.startswith(".")]
