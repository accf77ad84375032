"""Files of the scores table that no version which is kept needs: of killed runs, and of versions that are old."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from mapring import storage
from mapring.care.standing import is_ours, is_temporary
from mapring.watch.stored import drop_counts, lost_counts

_COUNTED = {"mapring.run_id", "mapring.restored"}  # in the commits of scorings and of returns
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OF_DELTA = re.compile(rf"(^|/)(part-\d{{5}}-{_UUID}[-.][^/]*parquet|deletion_vector_{_UUID}\.bin)$")
USUAL_RETENTION_HOURS = 168  # Delta's own; a running scoring's files are younger, and so are what readers hold open


class DeadFile(NamedTuple):
    """A file below the table, by its path there, and its bytes."""

    path: str
    bytes: int


def kept_versions(uri: str, count: int) -> list[int]:
    """The table's newest `count` versions that a scoring or a return to an older one made, and ours between these.

    Removals of rows and added columns are not counted, nor what others write.
    """
    from deltalake import DeltaTable

    kept = []
    for entry in DeltaTable(uri).history():
        if not any(key.startswith("mapring.") for key in entry):
            continue
        kept.append(entry["version"])
        count -= bool(_COUNTED & entry.keys())
        if count == 0:
            break
    return kept


def dead_files(uri: str, retention_hours: int, keep: Sequence[int] = ()) -> list[DeadFile]:
    """Files that neither a version of the last hours needs, nor one of those to keep, and unfinished ones; by path.

    So are counts whose data file is gone. Of files that the log does not know (any more) only those with a name that
    we or writers of Delta give.
    """
    known = set(_vacuum(uri, retention_hours, keep, full=False))
    unneeded = _vacuum(uri, retention_hours, keep, full=True)
    told = known | {path for path in unneeded if is_ours(path) or _OF_DELTA.search(path)}
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=retention_hours)
    stored = storage.list_stored(uri)
    lost = lost_counts({file.relative for file in stored})
    return [
        DeadFile(file.relative, file.bytes)
        for file in stored  # Delta also tells those that an earlier VACUUM has removed
        if file.relative in told or (_is_hidden(file.relative, lost) and file.modified < oldest)
    ]


def remove_dead_files(uri: str, retention_hours: int, keep: Sequence[int] = ()) -> list[DeadFile]:
    """Remove what `dead_files` tells, and the counts beside it; returns it."""
    dead = dead_files(uri, retention_hours, keep)
    for file in dead:
        storage.remove_file(storage.join(uri, file.path))
    drop_counts(uri, [file.path for file in dead])
    return dead


def _is_hidden(path: str, lost: Collection[str]) -> bool:
    """Whether Delta does not see a file of ours that is dead once it is old: an unfinished one, or lost counts."""
    return is_temporary(path) or path in lost


def _vacuum(uri: str, retention_hours: int, keep: Sequence[int], *, full: bool) -> list[str]:
    """What Delta's VACUUM would remove: files that the log knows as removed, or `full` any that no version needs."""
    from deltalake import DeltaTable

    paths: list[str] = DeltaTable(uri).vacuum(
        retention_hours,
        dry_run=True,
        full=full,
        enforce_retention_duration=retention_hours >= USUAL_RETENTION_HOURS,
        keep_versions=list(keep) or None,
    )
    return paths


def backend_in_use(uri: str) -> str | None:
    """Fingerprint of the backend of the newest scoring; None where the model itself scored, or there is no table."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(uri):
        return None
    for entry in DeltaTable(uri).history():
        if "mapring.run_id" in entry:
            return str(entry.get("mapring.backend") or "") or None
    return None
