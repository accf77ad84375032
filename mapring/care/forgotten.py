"""Documents that must not come back: a small record of each, created if absent, which later stages leave out.

    <run_dir>/forgotten/documents/<digest>.json    a document; its name is the digest of its content
    <run_dir>/forgotten/models/<digest>.json       what a model saw of it

A record holds digests and nothing of the text. The text is known by the hash of its normalized form, wherever it
comes again; the record's place only as long as its file is the same, for a line taken out moves all that follow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from mapring import storage
from mapring.contract.manifest import canonical_json

FORGOTTEN = "forgotten"  # the rule in the ledger, and the folder
_READERS = 8


@dataclass(frozen=True, kw_only=True)
class ForgottenDocument:
    """A document that was forgotten.

    `place` is the digest of its source and path, `identity` that of its file's content at the time, `hashes` are those
    of its text as preprocessing and as scoring prepare it, `source_id` the digest of your own id; empty where not
    known. What is `of_corpus` stands in an input of preprocessing or in shards, itself or a copy of its text, and
    changes their fingerprint.
    """

    doc_id: str
    place: str
    identity: str
    hashes: tuple[str, ...]
    source_id: str
    of_corpus: bool

    @property
    def name(self) -> str:
        """What its record is called."""
        return digest(self.to_bytes().decode())

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> ForgottenDocument:
        """As it was stored."""
        values = json.loads(content)
        return cls(**{**values, "hashes": tuple(values["hashes"])})

    def is_known_as(self, wanted: str) -> bool:
        """Whether a user means it by this `doc_id` or id of their own."""
        return wanted == self.doc_id or (bool(self.source_id) and digest(wanted) == self.source_id)


@dataclass(frozen=True)
class Exclusion:
    """What a pass over input files leaves out: documents by id, and by the hash of their text."""

    doc_ids: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.doc_ids or self.hashes)


def digest(text: str) -> str:
    """128-bit BLAKE2b in hex, as ids of documents are made."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


_BLANK = digest("")


def place_digest(source: str, path: str) -> str:
    """The digest by which a record knows its file."""
    return digest(f"{source}\0{path}")


def remember(run_dir: str, documents: Iterable[ForgottenDocument]) -> int:
    """Write the records of documents; returns how many are new."""
    return sum(storage.create(_uri(run_dir, "documents", one.name), one.to_bytes()) for one in documents)


def read_forgotten(run_dir: str) -> tuple[ForgottenDocument, ...]:
    """All forgotten documents of a run directory, in the order of their names."""
    folder = storage.join(run_dir, FORGOTTEN, "documents")
    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(
            pool.map(lambda uri: ForgottenDocument.from_bytes(storage.read_bytes(uri)), _records_below(folder))
        )


def set_digest(documents: Sequence[ForgottenDocument]) -> str:
    """One digest for a whole list of forgotten documents; empty for none."""
    return digest("\n".join(sorted(one.name for one in documents))) if documents else ""


def text_hashes(values: Iterable[str | None]) -> set[str]:
    """Hashes by which a text can be known: records and scores of earlier versions also have that of the blank text."""
    return {value for value in values if value and value != _BLANK}


def exclusion(documents: Iterable[ForgottenDocument], identities: dict[str, str]) -> Exclusion:
    """What is left out of these files.

    Args:
        documents: the forgotten ones.
        identities: of each file by its `place_digest`.
    """
    known = list(documents)
    return Exclusion(
        frozenset(one.doc_id for one in known if one.place and identities.get(one.place) == one.identity),
        frozenset(text_hashes(value for one in known for value in one.hashes)),
    )


def remember_model(run_dir: str, doc_id: str, model: str, saw: str) -> None:
    """Write what a model saw of a document, which the shards that tell it may not outlive."""
    content = canonical_json({"doc_id": doc_id, "model": model, "saw": saw})
    storage.create(_uri(run_dir, "models", digest(content.decode())), content)


def models_that_saw(run_dir: str, doc_ids: frozenset[str]) -> dict[str, set[str]]:
    """What was written of models and these documents: by model what it saw."""
    folder = storage.join(run_dir, FORGOTTEN, "models")
    found: dict[str, set[str]] = {}
    for uri in _records_below(folder):
        note = json.loads(storage.read_bytes(uri))
        if note["doc_id"] in doc_ids:
            found.setdefault(note["model"], set()).add(note["saw"])
    return found


def _records_below(folder: str) -> list[str]:
    # Names that begin with a dot are of records that a kill left half-written.
    return [storage.join(folder, name) for name in storage.list_names(folder) if not name.startswith(".")]


def _uri(run_dir: str, folder: str, name: str) -> str:
    return storage.join(run_dir, FORGOTTEN, folder, f"{name}.json")
