"""Recheck a published directory: every checksum, every count, every link."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract.manifest import RECORD_NAME, FileEntry, Manifest
from mapring.contract.publish import read_manifest
from mapring.contract.retired import was_retired
from mapring.errors import PublishedError

_FOLDERS = {
    "shards": "shards",
    "model": "models",
    "ranker": "rankers",
    "reranker": "models",
}  # of inputs that stand in the same run directory, unless they have a path


def verify(directory: str) -> list[str]:
    """Problems of one published directory, each naming the file it is about; empty when all holds."""
    try:
        manifest = read_manifest(directory)
    except PublishedError as error:
        return [str(error)]
    problems = [problem for entry in manifest.files for problem in _check_file(directory, entry)]
    if manifest.kind == "shards":
        problems.extend(_check_counts(directory, manifest))
    problems.extend(_check_links(directory, manifest))
    return problems


def _check_file(directory: str, entry: FileEntry) -> Iterator[str]:
    uri = storage.join(directory, entry.path)
    try:
        content = storage.read_bytes(uri)
    except OSError:
        yield f"{uri}: is missing or cannot be read"
        return
    if len(content) != entry.bytes:
        yield f"{uri}: found {len(content)} bytes, the manifest says {entry.bytes}"
    elif hashlib.sha256(content).hexdigest() != entry.sha256:
        yield f"{uri}: checksum differs from the manifest"
    elif entry.rows is not None and entry.path.endswith(".parquet"):
        rows = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
        if rows != entry.rows:
            yield f"{uri}: found {rows} rows, the manifest says {entry.rows}"


def _check_counts(directory: str, manifest: Manifest) -> Iterator[str]:
    counts, splits = manifest.details["counts"], manifest.details["splits"]
    dropped = sum(counts["dropped"].values())
    in_splits = sum(split["rows"] for split in splits.values())
    in_data = sum(entry.rows or 0 for entry in manifest.files_below("data"))
    sums = {
        "read = kept + dropped": (counts["read"], counts["kept"] + dropped),
        "dropped = rows of drops/": (dropped, sum(entry.rows or 0 for entry in manifest.files_below("drops"))),
        "judged = rows of measures/": (
            (manifest.details.get("measures") or {"judged": 0})["judged"],
            sum(entry.rows or 0 for entry in manifest.files_below("measures")),
        ),
    }
    packing = manifest.details.get("packing")
    if packing is None:
        sums["kept = rows of the splits"] = (counts["kept"], in_splits)
        sums["kept = rows of data/"] = (counts["kept"], in_data)
    else:
        sums["rows of the splits = rows of data/"] = (in_splits, in_data)
        sums["kept = packed documents"] = (counts["kept"], sum(split["documents"] for split in packing.values()))
        sums["kept = documents that begin in data/"] = (counts["kept"], _documents_begun(directory, manifest))
    for name, (left, right) in sums.items():
        if left != right:
            yield f"{directory}: {name} does not hold: {left} against {right}"


def _documents_begun(directory: str, manifest: Manifest) -> int:
    """Pieces of packed documents that are the first of their document."""
    begun = 0
    for entry in manifest.files_below("data"):
        try:
            with storage.open_read(storage.join(directory, entry.path)) as handle:
                offsets = pq.read_table(handle, columns=["offsets"]).column("offsets")
        except (OSError, pa.ArrowInvalid):  # the file's own check has told of it
            continue
        begun += pc.sum(pc.equal(pc.list_flatten(offsets), 0)).as_py() or 0
    return begun


def _check_links(directory: str, manifest: Manifest) -> Iterator[str]:
    """Inputs that are published directories must stand where they did, unchanged, or were removed on purpose."""
    for link in manifest.inputs:
        folder = _FOLDERS.get(link.get("kind", ""))
        if folder is None:
            continue
        target = link.get("path") or storage.join(_run_directory(directory), folder, link["fingerprint"])
        root = _run_directory(target)
        try:
            found = hashlib.sha256(storage.read_bytes(storage.join(target, RECORD_NAME))).hexdigest()
        except OSError:
            found = None
        if found == link["record_sha256"] or was_retired(root, folder, link["fingerprint"], link["record_sha256"]):
            continue
        if found is None:
            yield f"{target}: is missing, {directory} was made from it"
        else:
            yield f"{target}: its {RECORD_NAME} is not the one {directory} was made from"


def _run_directory(directory: str) -> str:
    """Where a published directory's run is, two levels above it, also where it is given by a relative path."""
    local = storage.local_path(directory)  # which is absolute
    return (str(local) if local is not None else directory.rstrip("/")).rsplit("/", 2)[0]
