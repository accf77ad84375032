"""Recheck the scores table: its log against its seals, its files against their names and counts, the law of one row."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence

import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import is_published
from mapring.contract.retired import retired_names
from mapring.errors import StageError
from mapring.scores.seal import broken_seals, sealed_versions
from mapring.scores.statistics import inputs_of
from mapring.scores.table import LiveFile, ScoresTable, latest_commit, read_table
from mapring.watch.stored import count_problems, kept_names

_DIGEST = re.compile(r"-([0-9a-f]{16})\.parquet$")  # what `contract.content_name` ends with


def verify_scores(uri: str, run_dir: str | None = None) -> list[str]:
    """Problems of the scores table, each naming the file it is about; empty when all holds.

    With the run directory that it stands in also models are looked for that its rows were made with.
    """
    from deltalake.exceptions import DeltaError

    log = storage.join(uri, "_delta_log")
    if not storage.exists(log):
        sealed = len(sealed_versions(uri))
        return [
            f"{log}: is missing, {sealed} versions of the table are sealed; bring it back from a copy, or remove {uri} "
            "and score again"
        ]
    broken = broken_seals(uri)
    if broken:
        return broken
    unread: list[str] = []
    try:
        commit, table = latest_commit(uri), read_table(uri, unread)
    except (DeltaError, OSError, ValueError, KeyError) as error:
        return [f"{log}: cannot be read: {error}"]
    except StageError as error:
        return [str(error)]
    if table is None:
        return [f"{uri}: holds no table"]
    if commit is not None and commit.version not in sealed_versions(uri):
        return [f"{uri}: version {commit.version} has no seal, its scoring was killed on its last step; score again"]
    names = kept_names(uri)
    models = [] if run_dir is None else _lost_models(table, run_dir)
    checked = (problem for file in table.files for problem in _check_file(uri, file, names))
    return [*unread, *models, *_twice(table), *checked]


def _lost_models(table: ScoresTable, run_dir: str) -> list[str]:
    """Models of the table's rows that are not there, but for those that were removed on purpose."""
    folder = storage.join(run_dir, "models")
    retired = retired_names(run_dir, "models")
    return [
        f"{place}: is missing, rows of {table.uri} were made with it; bring it back from a copy, or score them again"
        for model in table.models
        for place in [storage.join(folder, model)]
        if not is_published(place) and model not in retired
    ]


def _twice(table: ScoresTable) -> list[str]:
    """Inputs of which the table holds two scorings at once."""
    found: dict[tuple[str, str], set[object]] = {}
    for file in table.files:
        for one in file.inputs:
            found.setdefault(one.key, set()).add(one)
    return [
        f"{table.uri}: {source}/{path}: found rows of {len(scorings)} scorings of this input, expected one"
        for (source, path), scorings in sorted(found.items())
        if len(scorings) > 1
    ]


def _check_file(uri: str, file: LiveFile, counts: Sequence[str]) -> list[str]:
    place = storage.join(uri, file.path)
    try:
        content = storage.read_bytes(place)
    except OSError:
        return [f"{place}: is missing or cannot be read"]
    if len(content) != file.bytes:
        return [f"{place}: found {len(content)} bytes, the log says {file.bytes}"]
    named = _DIGEST.search(file.path)
    if named is not None and hashlib.sha256(content).hexdigest()[:16] != named[1]:
        return [f"{place}: checksum differs from its name"]
    rows = pq.read_table(io.BytesIO(content))
    if rows.num_rows != file.rows:
        return [f"{place}: found {rows.num_rows} rows, the log says {file.rows}"]
    failed = rows.num_rows - rows.column("error").null_count
    if failed != file.failed or inputs_of(rows) != file.inputs:
        return [f"{place}: its rows are not what the log says of them"]
    return count_problems(uri, file.path, rows, counts)
