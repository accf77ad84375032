"""What stands in a run directory: generations of every kind, what each was made from, its size, age and dead files."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mapring import storage
from mapring.contract import RECORD_NAME, read_manifest
from mapring.contract.retired import retired_names
from mapring.errors import PublishedError
from mapring.storage import StoredFile

KINDS = ("shards", "models", "backends", "banks", "rankers", "ranked", "recommendations", "pairs")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_SCRATCH = re.compile(r"[0-9a-f]{32}")
# Names that our code gives: by content, or while a file is being made. Whatever else lies there is not ours.
_TEMPORARY = re.compile(r"(^|/)\.[^/]+\.[0-9a-f]{32}\.tmp$")
_BY_CONTENT = re.compile(r"-[0-9a-f]{16}(\.[a-z]+)?(/|$)")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One directory that is, or was to be, published.

    `refers` are the fingerprints of what it was made from. `changed` is when its newest file was written; None of an
    empty one. `dead` are files of ours that its manifest does not name. Of a damaged one nothing is known but that.
    """

    kind: str
    name: str
    directory: str
    is_published: bool
    is_damaged: bool = False
    is_half_removed: bool = False
    refers: frozenset[str] = frozenset()
    created: str = ""
    bytes: int = 0
    changed: datetime.datetime | None = None
    dead: tuple[StoredFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A directory that is known by its files only: an unfinished checkpoint, or scratch."""

    directory: str
    bytes: int
    changed: datetime.datetime


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training directory; `unfinished` are its checkpoints without a record."""

    name: str
    directory: str
    bytes: int
    changed: datetime.datetime | None
    unfinished: tuple[Folder, ...]


def generations(run_dir: str) -> Iterator[Generation]:
    """All directories that are named as our stages name them, of every kind."""
    for kind in KINDS:
        retired = retired_names(run_dir, kind)
        for name in storage.list_names(storage.join(run_dir, kind)):
            if _FINGERPRINT.fullmatch(name):
                yield _generation(kind, name, storage.join(run_dir, kind, name), was_retired=name in retired)


def _generation(kind: str, name: str, directory: str, *, was_retired: bool) -> Generation:
    files = storage.list_stored(directory)
    size, changed = _size_and_age(files)
    if not any(file.relative == RECORD_NAME for file in files):
        return Generation(
            kind=kind,
            name=name,
            directory=directory,
            is_published=False,
            is_half_removed=was_retired,
            bytes=size,
            changed=changed,
        )
    try:
        manifest = read_manifest(directory)
    except PublishedError:
        return Generation(
            kind=kind,
            name=name,
            directory=directory,
            is_published=True,
            is_damaged=True,
            bytes=size,
            changed=changed,
        )
    own = json.loads(storage.read_bytes(storage.join(directory, RECORD_NAME)))["manifest"]
    named = {RECORD_NAME, own, *(entry.path for entry in manifest.files)}
    return Generation(
        kind=kind,
        name=name,
        directory=directory,
        is_published=True,
        refers=frozenset(str(link["fingerprint"]) for link in manifest.inputs if "fingerprint" in link),
        created=manifest.created,
        bytes=size,
        changed=changed,
        dead=tuple(file for file in files if file.relative not in named and is_ours(file.relative)),
    )


def is_ours(relative: str) -> bool:
    """Whether a file below a published directory has a name that only our code gives."""
    return bool(_TEMPORARY.search(relative) or _BY_CONTENT.search(relative))


def is_temporary(relative: str) -> bool:
    """Whether a file is one that was still being made."""
    return bool(_TEMPORARY.search(relative))


def trainings(run_dir: str) -> Iterator[Training]:
    """All training directories."""
    folder = storage.join(run_dir, "training")
    for name in storage.list_names(folder):
        if not _FINGERPRINT.fullmatch(name):
            continue
        directory = storage.join(folder, name)
        files = storage.list_stored(directory)
        size, changed = _size_and_age(files)
        yield Training(
            name=name,
            directory=directory,
            bytes=size,
            changed=changed,
            unfinished=tuple(_unfinished(directory, files)),
        )


def _unfinished(directory: str, files: Sequence[StoredFile]) -> Iterator[Folder]:
    steps: dict[str, list[StoredFile]] = {}
    for file in files:
        parts = file.relative.split("/")
        if len(parts) > 2 and parts[0] == "checkpoints" and parts[1].startswith("step-"):
            steps.setdefault(parts[1], []).append(file)
    for step, found in sorted(steps.items()):
        if not any(file.relative.endswith(f"{step}/{RECORD_NAME}") for file in found):
            size, changed = _size_and_age(found)
            assert changed is not None  # a step is known by its files
            yield Folder(directory=storage.join(directory, "checkpoints", step), bytes=size, changed=changed)


def scratch(run_dir: str) -> Iterator[Folder]:
    """What rounds of duplicate removal wrote for themselves, and a kill kept them from removing."""
    folder = storage.join(run_dir, "scratch")
    for name in storage.list_names(folder):
        files = storage.list_stored(storage.join(folder, name)) if _SCRATCH.fullmatch(name) else []
        size, changed = _size_and_age(files)
        if changed is not None:
            yield Folder(directory=storage.join(folder, name), bytes=size, changed=changed)


def _size_and_age(files: Sequence[StoredFile]) -> tuple[int, datetime.datetime | None]:
    return sum(file.bytes for file in files), max((file.modified for file in files), default=None)
