"""The manifest: what a published directory holds, where it came from, and how it was counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mapring.contract.migrations import migrated

SCHEMA_VERSION = 2  # a change of it needs a step in `contract/migrations.py`
RECORD_NAME = "published.json"

Kind = Literal["shards", "model", "checkpoint", "backend", "bank", "ranker", "ranked", "recommendations", "pairs"]
Content = bytes  # FileEntry has a field of the name `bytes`


def canonical_json(value: Any) -> bytes:
    """The one byte sequence that stands for a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a published directory; `rows` is None where a file has no rows."""

    path: str
    rows: int | None
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str, content: Content, rows: int | None = None) -> FileEntry:
        """Describe a file by its content."""
        return cls(path=path, rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a reader needs to know about a published directory.

    `details` holds what only one kind has: for shards `counts`, `splits`, `lanes`, `labels`,
    `tokenizer`; for a model `transformers`, `golden`, `evaluation`, `labels`; for a backend `backend`, `graph`,
    `golden`, `candidates`; for a bank `vectors`, `templates`, `golden`, `index`; for a ranker
    `ranker`, `rows`, `golden`, `evaluation`; for recommendations and pairs `columns`, `counts`, and of pairs the moment
    `until` which they go; they stand at the top level of the JSON form.
    """

    kind: Kind
    fingerprint: str
    created: str
    code_version: str
    settings: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    files: tuple[FileEntry, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """The canonical JSON form."""
        common = {name: value for name, value in vars(self).items() if name not in ("details", "files")}
        return canonical_json({**self.details, **common, "files": [vars(entry) for entry in self.files]})

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Read the JSON form, also of an earlier schema version.

        Raises:
            ValueError: it is no manifest, or one of a later version.
        """
        value = json.loads(content)
        version = value.get("schema_version") if isinstance(value, dict) else type(value).__name__
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"found schema_version {version}, expected 1 to {SCHEMA_VERSION}")
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"found schema_version {version}, made by a newer mapring; this one reads up to {SCHEMA_VERSION}"
            )
        value = migrated(value, SCHEMA_VERSION)
        names = ("kind", "fingerprint", "created", "code_version", "settings", "schema_version")
        try:
            common = {name: value.pop(name) for name in names}
            inputs = tuple(value.pop("inputs"))
            files = tuple(FileEntry(**entry) for entry in value.pop("files"))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or unknown: {error}") from None
        return cls(**common, inputs=inputs, files=files, details=value)

    def files_below(self, folder: str) -> list[FileEntry]:
        """The entries whose path begins with `folder/`."""
        return [entry for entry in self.files if entry.path.startswith(f"{folder}/")]
