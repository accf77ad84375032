"""What alerts are found in: counts of labels, and findings of drift."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mapring.errors import SettingsError
from mapring.run_directory import RunDirectory
from mapring.settings import Settings
from mapring.settings.alerts import Alerts
from mapring.watch.counting import label_counts
from mapring.watch.findings import Finding
from mapring.watch.series import Series, newest_ended, newest_start, read_series
from mapring.watch.watched import look


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Counts by `source`, `window_start`, `label`, `model_fingerprint` with `rows`, of the current table; drifts.

    `newest` is `newest_ended`. `groups` are GROUPS, as far back as they are looked at; None where labels are not
    counted by group.
    """

    counts: pa.Table
    newest: Mapping[tuple[str, bool], datetime.datetime]
    drifts: tuple[Finding, ...] = ()
    groups: pa.Table | None = None


def gather(config: str, settings: Settings, now: datetime.datetime) -> Evidence:
    """Read the counts of the scores table, counting what is not counted yet, and what has drifted.

    Raises:
        SettingsError: there is no scores table yet.
        StageError: the table is none of ours.
    """
    watched = look(settings)
    if watched is None:
        scores = RunDirectory(settings.run_dir).scores
        raise SettingsError(f"{config}: found no scores table at {scores}; run `mapring score {config}` first")
    counts = label_counts(watched.counts)
    groups = watched.groups(_oldest(read_series(counts), settings, now)) if settings.watch.by_group else None
    newest = newest_ended(watched.counts, settings.watch.window_length, now)
    return Evidence(counts=counts, newest=newest, drifts=tuple(watched.drift_findings(now)), groups=groups)


def _oldest(series: Sequence[Series], settings: Settings, now: datetime.datetime) -> datetime.datetime:
    """When the oldest window begins that is judged or remembered, or is of the history of one that is.

    That is counted from the newest complete window of each source, as `judged.windows_due` does: one that has only
    begun, behind a pause of its source, would leave out what is remembered of the windows before the pause.
    """
    surges = (settings.alerts or Alerts()).surges
    complete = now - settings.watch.window_length - datetime.timedelta(minutes=surges.wait_minutes)
    newest = [moment for one in series if (moment := newest_start([one], complete)) is not None]
    back = datetime.timedelta(days=surges.history_days + surges.judge_days + 1) + 2 * settings.watch.window_length
    return min(newest, default=now) - back
