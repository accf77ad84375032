"""Inputs without a record: a file that leaves no row in the table is remembered here, or it would be new for ever.

That a content holds no record under given settings is a fact for all time, so it needs no transaction: it is an
empty file in `_empty_inputs/`, named by the digest of both. Where one is lost, its input is read once more.
"""

from __future__ import annotations

import hashlib

from mapring import storage
from mapring.scores.statistics import ScoredInput

_FOLDER = "_empty_inputs"


def remember_empty(uri: str, found: ScoredInput) -> None:
    """Note that an input holds no record."""
    storage.create_identical(storage.join(uri, _FOLDER, empty_name(found)), b"")


def known_empty(uri: str) -> frozenset[str]:
    """The `empty_name` of every input that is known to hold no record."""
    return frozenset(storage.list_names(storage.join(uri, _FOLDER)))


def empty_name(found: ScoredInput) -> str:
    """What the note on an input is called; the model has no part in it."""
    return hashlib.sha256(f"{found.identity}\n{found.settings}".encode()).hexdigest()[:32]
