"""Rows of forgotten documents out of the scores table: one commit, and then no file that holds them is left.

A row that is only taken out of the table's newest version still lies in the file that it was in, and in every older
version. So those files are removed, too, and what a killed run left; reading an older version that needed one of them
then fails, also going back to it.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from mapring import storage
from mapring.contract import code_version, content_name, write_file
from mapring.errors import StageError
from mapring.scores.empty import remember_empty
from mapring.scores.seal import seal
from mapring.scores.statistics import file_statistics
from mapring.scores.table import LiveFile, ScoresTable, read_table
from mapring.watch.stored import drop_counts
from spark_jobs.scoring import ROWS_PER_ROW_GROUP
from spark_jobs.tables import parquet_bytes

FORGOTTEN_SET = "mapring.forgotten"  # in a commit: the digest of all documents that the table is free of
_ATTEMPTS = 10
_COLUMNS = ("doc_id", "content_hash", "input_identity")


class Wanted(NamedTuple):
    """Documents by (id, identity of the input file), since an id is a position, and by the hashes of their texts."""

    places: frozenset[tuple[str, str]]
    hashes: frozenset[str]


def count_rows(uri: str, wanted: Wanted) -> int:
    """Live rows of these documents."""
    table = read_table(uri)
    files = table.files if table is not None else ()
    return sum(pc.sum(_held(storage.join(uri, file.path), wanted)).as_py() or 0 for file in files)


def take_out_rows(uri: str, wanted: Wanted, forgotten: str) -> int:
    """Commit the table without the rows of these documents, and seal it; returns how many there were.

    A commit is made even where there is none, once for each list of forgotten documents: a scoring under way is then
    overtaken, and looks at the list before it commits.

    Args:
        uri: of the table.
        wanted: the documents.
        forgotten: the digest of the whole list of forgotten documents.

    Raises:
        StageError: other runs committed first, again and again.
    """
    failure: Exception | None = None
    for _ in range(_ATTEMPTS):
        table = read_table(uri)
        if table is None:
            return 0
        held = [file for file in table.files if pc.any(_held(storage.join(uri, file.path), wanted)).as_py()]
        is_free = _version_free_of(uri, forgotten)
        if not held and is_free is not None:
            seal(uri, is_free)
            return 0
        try:
            rows = _rewrite(table, held, wanted, forgotten)
        except (CommitFailedError, DeltaError) as error:
            failure = error
            continue
        seal(uri, table.version + 1)
        _remember_emptied(table, uri)
        return rows
    raise StageError(
        f"{uri}: rows could not be taken out in {_ATTEMPTS} attempts ({failure}); run the command again when no other "
        "run commits to the table"
    ) from failure


def _rewrite(table: ScoresTable, held: list[LiveFile], wanted: Wanted, forgotten: str) -> int:
    actions: list[AddAction | RemoveAction] = []
    now, rows = int(time.time() * 1000), 0
    for file in held:
        with storage.open_read(storage.join(table.uri, file.path)) as handle:
            whole = pq.read_table(handle)
        stay = whole.filter(pc.invert(_is_of(whole, wanted)))
        rows += whole.num_rows - stay.num_rows
        actions.append(RemoveAction(file.path, True, now, file.bytes))
        if stay.num_rows:
            content = parquet_bytes(stay, ROWS_PER_ROW_GROUP)
            entry = write_file(table.uri, f"data/{content_name('carried', content, '.parquet')}", content)
            statistics = json.dumps(file_statistics(stay), ensure_ascii=False)
            actions.append(AddAction(entry.path, entry.bytes, {}, now, True, statistics))
    metadata = {FORGOTTEN_SET: forgotten, "mapring.code_version": code_version(), "mapring.rows_forgotten": str(rows)}
    delta = DeltaTable(table.uri, version=table.version)
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    delta.create_write_transaction(actions, "append", delta.schema(), commit_properties=properties)
    return rows


def _remember_emptied(before: ScoresTable, uri: str) -> None:
    """Inputs that have no row any more are noted as such, or they would be new to the next scoring."""
    after = read_table(uri)
    left = after.inputs if after is not None else {}
    for key, scored in before.inputs.items():
        if key not in left:
            remember_empty(uri, scored)


def _version_free_of(uri: str, forgotten: str) -> int | None:
    """The version whose commit freed the table of this list of documents."""
    return next(
        (entry["version"] for entry in DeltaTable(uri).history() if entry.get(FORGOTTEN_SET) == forgotten), None
    )


def remove_dead_files(uri: str, wanted: Wanted) -> tuple[int, list[str]]:
    """Remove files below the table that no row of its newest version is in, and that hold these documents.

    Their counts, which tell the groups of rows, go before them: killed in between, a file is found again.

    Returns:
        How many were removed, and which files cannot be read, so that it is not known what they hold.
    """
    table = read_table(uri)
    if table is None:
        return 0, []
    live = {file.path for file in table.files}
    holding, unread = [], []
    for file in storage.list_stored(uri):
        if file.relative in live or file.relative.startswith("_"):
            continue
        if not file.relative.endswith(".parquet"):
            unread.append(file.uri)
            continue
        try:
            is_held = pc.any(_held(file.uri, wanted)).as_py()
        except (pa.ArrowException, OSError):
            unread.append(file.uri)
            continue
        if is_held:
            holding.append(file)
    drop_counts(uri, [file.relative for file in holding])
    for file in holding:
        storage.remove_file(file.uri)
    return len(holding), unread


def _held(uri: str, wanted: Wanted) -> pa.ChunkedArray:
    """For each row of a file whether it is of one of these documents."""
    with storage.open_read(uri) as handle:
        names = [name for name in _COLUMNS if name in pq.ParquetFile(handle).schema_arrow.names]
        return _is_of(pq.read_table(handle, columns=names), wanted)


def _is_of(table: pa.Table, wanted: Wanted) -> pa.ChunkedArray:
    ids = table.column("doc_id")
    if "content_hash" not in table.column_names:  # an older table, in which ids are all there is to go by
        return pc.is_in(ids, value_set=pa.array(sorted({doc_id for doc_id, _ in wanted.places}), pa.string()))
    places = pc.binary_join_element_wise(ids, table.column("input_identity"), " ")
    there = pc.is_in(places, value_set=pa.array(sorted(map(" ".join, wanted.places)), pa.string()))
    same = pc.is_in(table.column("content_hash"), value_set=pa.array(sorted(wanted.hashes), pa.string()))
    return pc.or_(there, same)
