"""Which published shards hold a document, where in them, and which models have seen it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.care.standing import Generation
from mapring.contract import Manifest, read_manifest
from mapring.storage import StoredFile
from spark_jobs.forgetting.documents import Documents

_TABLES = ("drops", "measures", "sketches")
_TRAINED, _HELD_OUT, _DROPPED = "was trained on it", "was evaluated on it", "did not see it: its shards dropped it"
_DESCENDS, _GOLDEN = "goes back to a model that was trained on it", "holds its text among its golden rows"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Shards that hold a document: the `splits` that have it, and other tables below them that do."""

    name: str
    directory: str
    is_published: bool
    splits: tuple[str, ...]
    tables: tuple[str, ...]

    def __str__(self) -> str:
        where = [*(f"split {split}" for split in self.splits), *(f"{table}/" for table in self.tables)]
        return f"{self.directory}: {', '.join(where)}"


def holders(found: Iterable[Generation], documents: Documents) -> list[Holder]:
    """The shards, also those of attempts that were not published, that hold one of the documents."""
    holding = []
    for one in found:
        if one.kind != "shards" or one.is_damaged:
            continue
        splits, tables = _published(one, documents) if one.is_published else _attempt(one, documents)
        if splits or tables:
            holding.append(
                Holder(
                    name=one.name,
                    directory=one.directory,
                    is_published=one.is_published,
                    splits=splits,
                    tables=tables,
                )
            )
    return holding


def _published(one: Generation, documents: Documents) -> tuple[tuple[str, ...], tuple[str, ...]]:
    manifest = read_manifest(one.directory)
    identities = {link.get("identity") for link in manifest.inputs}
    splits = tuple(
        split
        for split, details in manifest.details["splits"].items()
        if any(
            _holds(storage.join(one.directory, part["path"]), documents, identities)
            for parts in details.get("shards", ())
            for part in parts
        )
    )
    tables = tuple(
        table
        for table in _TABLES
        if any(
            _holds(storage.join(one.directory, entry.path), documents, identities)
            for entry in manifest.files_below(table)
        )
    )
    return splits, tables


def _attempt(one: Generation, documents: Documents) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders of an attempt with a whole file that holds a document; its splits are not known."""
    found = set()
    for file in storage.list_stored(one.directory):
        folder = file.relative.partition("/")[0]
        if folder in ("data", *_TABLES) and file.relative.endswith(".parquet") and _can_hold(file, documents):
            found.add(folder)
    return (), tuple(sorted(found))


def _can_hold(file: StoredFile, documents: Documents) -> bool:
    try:
        return _holds(file.uri, documents, None)
    except (pa.ArrowException, OSError):  # another attempt's, or cut off: unreadable to everybody
        return False


def _holds(uri: str, documents: Documents, identities: set[str | None] | None) -> bool:
    """Whether a table of shards holds a document: by its text or its hash, else by its id."""
    with storage.open_read(uri) as handle:
        file = pq.ParquetFile(handle)
        names = set(file.schema_arrow.names)
        if "text" in names:
            texts = file.read(["text"]).column("text")
            if pc.any(pc.is_in(texts, value_set=pa.array(sorted(documents.texts), pa.string()))).as_py():
                return True
        if "content_hash" in names:
            hashes = file.read(["content_hash"]).column("content_hash")
            if pc.any(pc.is_in(hashes, value_set=pa.array(sorted(documents.hashes), pa.string()))).as_py():
                return True
        as_then = [
            doc_id
            for doc_id, one in documents.items()
            if "text" not in names or identities is None or one.may_be(identities)
        ]
        ids = pa.array(sorted(as_then), pa.string())
        for name in ({"doc_id", "doc_ids"} & names) if as_then else ():
            column = file.read([name]).column(name)
            if pa.types.is_list(column.type):
                column = pc.list_flatten(column)
            if pc.any(pc.is_in(column, value_set=ids)).as_py():
                return True
    return False


def rankings_with(found: Iterable[Generation], documents: Documents) -> list[str]:
    """Directories of published rankings of the scores table that have a row of one of the documents."""
    return [
        one.directory
        for one in found
        if one.kind == "ranked" and one.is_published and not one.is_damaged
        for manifest in [read_manifest(one.directory)]
        if any(
            entry.path.endswith(".parquet") and _holds(storage.join(one.directory, entry.path), documents, None)
            for entry in manifest.files
        )
    ]


def what_models_saw(
    found: Sequence[Generation], holding: Sequence[Holder], documents: Documents
) -> dict[str, set[str]]:
    """What each published model has seen of the documents, by its fingerprint; of those that saw nothing, nothing."""
    by_shards = {one.name: one for one in holding if one.is_published}
    manifests = {
        one.name: (one, read_manifest(one.directory))
        for one in found
        if one.kind == "models" and one.is_published and not one.is_damaged
    }
    saw: dict[str, set[str]] = {}
    for name, (one, manifest) in manifests.items():
        told = {_of_shards(by_shards[shards]) for shards in one.refers if shards in by_shards}
        if _golden_rows_hold(one, manifest, documents):
            told.add(_GOLDEN)
        if told:
            saw[name] = told
    return _with_descendants(saw, {name: one.refers for name, (one, _) in manifests.items()})


def _of_shards(holder: Holder) -> str:
    if "train" in holder.splits:
        return _TRAINED
    return _HELD_OUT if holder.splits else _DROPPED


def _golden_rows_hold(one: Generation, manifest: Manifest, documents: Documents) -> bool:
    path = manifest.details.get("golden")
    return path is not None and bool(documents.texts) and _has_text(storage.join(one.directory, str(path)), documents)


def _has_text(uri: str, documents: Documents) -> bool:
    with storage.open_read(uri) as handle:
        file = pq.ParquetFile(handle)
        if "text" not in file.schema_arrow.names:
            return False
        texts = file.read(["text"]).column("text").cast(pa.string())
        return bool(pc.any(pc.is_in(texts, value_set=pa.array(sorted(documents.texts), pa.string()))).as_py())


def _with_descendants(saw: dict[str, set[str]], refers: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
    """Add models that started or learned from one that was trained on the documents."""
    tainted = {name for name, told in saw.items() if _TRAINED in told}
    while True:
        more = {name for name, behind in refers.items() if behind & tainted and name not in tainted}
        if not more:
            return saw
        for name in more:
            saw.setdefault(name, set()).add(_DESCENDS)
        tainted |= more
