"""Files of the scores table that no version which is kept needs: of killed runs, and of versions that are old."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import NamedTuple

from mapring import storage
from mapring.care.standing import is_temporary
from mapring.watch.stored import drop_counts, lost_counts

USUAL_RETENTION_HOURS = 168  # Delta's own; a running scoring's files are younger, and so are what readers hold open


class DeadFile(NamedTuple):
    """A file below the table, by its path there, and its bytes."""

    path: str
    bytes: int


def kept_versions(uri: str, count: int) -> list[int]:
    """The table's newest `count` versions that a scoring, a return to an older one or a removal of rows made.

    Those that Delta's own VACUUM writes change no rows and are not counted.
    """
    from deltalake import DeltaTable

    ours = [entry["version"] for entry in DeltaTable(uri).history() if any(key.startswith("mapring.") for key in entry)]
    return ours[:count]


def dead_files(uri: str, retention_hours: int, keep: Sequence[int] = ()) -> list[DeadFile]:
    """Files that neither a version of the last hours needs, nor one of those to keep, and unfinished ones; by path.

    So are counts whose data file is gone.
    """
    told = set(_vacuum(uri, retention_hours, keep, dry_run=True))
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=retention_hours)
    stored = storage.list_stored(uri)
    lost = lost_counts({file.relative for file in stored})
    return [
        DeadFile(file.relative, file.bytes)
        for file in stored  # Delta also tells those that an earlier VACUUM has removed
        if file.relative in told or (_is_hidden(file.relative, lost) and file.modified < oldest)
    ]


def remove_dead_files(uri: str, retention_hours: int, keep: Sequence[int] = ()) -> list[DeadFile]:
    """Remove what `dead_files` tells; returns it. Delta's log gets two entries more, where its VACUUM removes any."""
    dead = dead_files(uri, retention_hours, keep)
    lost = lost_counts({file.path for file in dead})
    hidden = {file.path for file in dead if _is_hidden(file.path, lost)}
    for path in hidden:
        storage.remove_file(storage.join(uri, path))
    if len(hidden) < len(dead):
        _vacuum(uri, retention_hours, keep, dry_run=False)
        drop_counts(uri, [file.path for file in dead])
    return dead


def _is_hidden(path: str, lost: Collection[str]) -> bool:
    """Whether Delta does not see a file of ours that is dead once it is old: an unfinished one, or lost counts."""
    return is_temporary(path) or path in lost


def _vacuum(uri: str, retention_hours: int, keep: Sequence[int], *, dry_run: bool) -> list[str]:
    from deltalake import DeltaTable

    paths: list[str] = DeltaTable(uri).vacuum(
        retention_hours,
        dry_run=dry_run,
        full=True,
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
