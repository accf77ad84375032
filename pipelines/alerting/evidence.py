"""What alerts are found in: counts of labels, and findings of drift."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pyarrow as pa

from mapring.errors import SettingsError
from mapring.lineage import RunDirectory
from mapring.settings import Settings
from mapring.watch.counting import label_counts
from mapring.watch.findings import Finding
from mapring.watch.watched import look


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Counts by `source`, `window_start`, `label`, `model_fingerprint` with `rows`, of the current table; drifts."""

    counts: pa.Table
    drifts: tuple[Finding, ...] = ()


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
    return Evidence(counts=label_counts(watched.counts), drifts=tuple(watched.drift_findings(now)))
