"""The scores table through time: its versions, going back to one, and removing files that no version needs."""

from __future__ import annotations

import datetime
import json

from rich.console import Console

from mapring import storage
from mapring.errors import SettingsError, StageError
from mapring.progress import bytes_text, say
from mapring.scores.removal import dead_files, remove_dead_files
from mapring.scores.seal import seal
from mapring.scores.table import read_table
from mapring.settings import load_settings
from pipelines.tables import PlainTable


def print_history(config: str) -> None:
    """Print a row for each version that is still in the log, the newest first."""
    from deltalake import DeltaTable

    table = PlainTable(_existing(config))
    for heading in ("version", "when (UTC)", "what", "model", "run"):
        table.add_column(heading, overflow="fold")
    for entry in DeltaTable(_existing(config)).history():
        when = datetime.datetime.fromtimestamp(entry["timestamp"] / 1000, datetime.UTC).isoformat(timespec="seconds")
        what = entry.get("operation", "")
        if "mapring.counts" in entry:
            counts = json.loads(entry["mapring.counts"])
            what = f"scored {counts['scored']:,} of {counts['read']:,} rows of {int(entry['mapring.inputs']):,} inputs"
        elif "mapring.restored" in entry:
            what = f"back to version {entry['mapring.restored']}"
        table.add_row(
            str(entry["version"]), when, what, entry.get("mapring.model", ""), entry.get("mapring.run_id", "")[:8]
        )
    Console().print(table)


def roll_back(config: str, version: int) -> None:
    """Make the table again what it was at a version, as a new version on top.

    Raises:
        StageError: there is no such version, its files were removed, or another run committed at the same time.
    """
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import DeltaError

    uri = _existing(config)
    delta = DeltaTable(uri)
    if not 0 <= version <= delta.version():
        raise StageError(
            f"{uri}: found no version {version}, expected 0 to {delta.version()}; see `mapring scores history`"
        )
    properties = CommitProperties(custom_metadata={"mapring.restored": str(version)}, max_commit_retries=0)
    try:
        delta.restore(version, commit_properties=properties)
    except (DeltaError, OSError) as error:
        raise StageError(
            f"{uri}: cannot go back to version {version} ({error}); where its files were removed by vacuum, score again"
        ) from error
    now = DeltaTable(uri).version()
    seal(uri, now)
    table = read_table(uri)
    rows = table.rows if table is not None else 0
    say("scores", f"version {now} is version {version} again, with {rows:,} rows; `mapring score` scores what it lacks")


def vacuum(config: str, retention_hours: int, *, dry_run: bool) -> None:
    """Remove files that no version of the table of the last `retention_hours` needs, such as those of killed runs."""
    uri = _existing(config)
    dead = dead_files(uri, retention_hours) if dry_run else remove_dead_files(uri, retention_hours)
    total = bytes_text(sum(file.bytes for file in dead))
    told = f"{len(dead):,} files, {total}, that no version of the last {retention_hours} hours needs"
    if dry_run:
        for file in dead:
            say("scores", f"would remove {file.path}")
    say("scores", f"{'would remove' if dry_run else 'removed'} {told}")


def _existing(config: str) -> str:
    uri = storage.join(load_settings(config).run_dir, "scores")
    if not storage.exists(storage.join(uri, "_delta_log")):
        raise SettingsError(f"{config}: found no scores table at {uri}; run `mapring score {config}` first")
    return uri
