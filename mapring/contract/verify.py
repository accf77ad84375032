"""Recheck a published directory: every checksum, every count, every link."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import pyarrow.parquet as pq

from mapring import storage
from mapring.contract.manifest import RECORD_NAME, FileEntry, Manifest
from mapring.contract.publish import read_manifest
from mapring.errors import PublishedError


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
    sums = {
        "read = kept + dropped": (counts["read"], counts["kept"] + dropped),
        "kept = rows of the splits": (counts["kept"], sum(split["rows"] for split in splits.values())),
        "kept = rows of data/": (counts["kept"], sum(entry.rows or 0 for entry in manifest.files_below("data"))),
        "dropped = rows of drops/": (dropped, sum(entry.rows or 0 for entry in manifest.files_below("drops"))),
    }
    for name, (left, right) in sums.items():
        if left != right:
            yield f"{directory}: {name} does not hold: {left} against {right}"


def _check_links(directory: str, manifest: Manifest) -> Iterator[str]:
    """Inputs that are published directories of the same run must stand there unchanged."""
    for link in manifest.inputs:
        if link.get("kind") != "shards":
            continue
        root = directory.rstrip("/").rsplit("/", 2)[0]
        target = storage.join(root, "shards", link["fingerprint"])
        try:
            record = storage.read_bytes(storage.join(target, RECORD_NAME))
        except OSError:
            yield f"{target}: is missing, {directory} was made from it"
            continue
        if hashlib.sha256(record).hexdigest() != link["record_sha256"]:
            yield f"{target}: its {RECORD_NAME} is not the one {directory} was made from"
