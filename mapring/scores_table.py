"""Read the scores table: what its newest scoring committed, and whether its files are still those."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.scores_seal import broken_seals, sealed_versions


@dataclass(frozen=True, kw_only=True)
class ScoresCommit:
    """The newest scoring of the table, from the metadata of its commit.

    `counts` has `read`, `scored` and `errors` by rule; `files` maps a path to its `rows`, `bytes`
    and `sha256`.
    """

    version: int
    committed_at: str
    fingerprint: str
    model: str
    run_id: str
    documents_per_second: float
    counts: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]


def latest_commit(uri: str) -> ScoresCommit | None:
    """The newest scoring, or None where there is no table or none of its commits is a scoring."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(uri):
        return None
    for entry in DeltaTable(uri).history():
        if "mapring.fingerprint" in entry:
            return _commit(entry)
    return None


def is_scored(uri: str, fingerprint: str) -> bool:
    """Whether the newest scoring of the table is this one, and is sealed."""
    commit = latest_commit(uri)
    return commit is not None and commit.fingerprint == fingerprint and commit.version in sealed_versions(uri)


def _commit(entry: Mapping[str, Any]) -> ScoresCommit:
    committed = datetime.datetime.fromtimestamp(entry["timestamp"] / 1000, datetime.UTC)
    return ScoresCommit(
        version=entry["version"],
        committed_at=committed.isoformat(timespec="seconds"),
        fingerprint=entry["mapring.fingerprint"],
        model=entry["mapring.model"],
        run_id=entry["mapring.run_id"],
        documents_per_second=float(entry["mapring.docs_per_second"]),
        counts=json.loads(entry["mapring.counts"]),
        files=json.loads(entry["mapring.files"]),
    )


def verify_scores(uri: str) -> list[str]:
    """Problems of the scores table, each naming the file it is about; empty when all holds."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    broken = broken_seals(uri)
    if broken:
        return broken
    try:
        commit = latest_commit(uri)
        active = set(pa.table(DeltaTable(uri).get_add_actions(flatten=True)).column("path").to_pylist())
    except (DeltaError, OSError, ValueError, KeyError) as error:
        return [f"{uri}/_delta_log: cannot be read: {error}"]
    if commit is None:
        return [f"{uri}: the table holds no scoring"]
    if commit.version not in sealed_versions(uri):
        return [f"{uri}: version {commit.version} has no seal, its scoring was killed on its last step; score again"]
    problems = [
        f"{uri}/{path}: is in the table but not in its commit's metadata" for path in active - set(commit.files)
    ]
    problems += [f"{uri}/{path}: was committed but is not in the table" for path in set(commit.files) - active]
    for path, described in commit.files.items():
        problems.extend(_check_file(storage.join(uri, path), described))
    counted = commit.counts["scored"] + sum(commit.counts["errors"].values())
    rows = sum(described["rows"] for described in commit.files.values())
    if not counted == rows == commit.counts["read"]:
        problems.append(
            f"{uri}: read = scored + errors = rows does not hold: {commit.counts['read']}, {counted}, {rows}"
        )
    return problems


def _check_file(uri: str, described: Mapping[str, Any]) -> list[str]:
    try:
        content = storage.read_bytes(uri)
    except OSError:
        return [f"{uri}: is missing or cannot be read"]
    if len(content) != described["bytes"]:
        return [f"{uri}: found {len(content)} bytes, the commit says {described['bytes']}"]
    if hashlib.sha256(content).hexdigest() != described["sha256"]:
        return [f"{uri}: checksum differs from the commit"]
    rows = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
    if rows != described["rows"]:
        return [f"{uri}: found {rows} rows, the commit says {described['rows']}"]
    return []
