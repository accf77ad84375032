"""What alerts are found in: counts of labels, and findings of drift."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pyarrow as pa

from mapring.errors import SettingsError
from mapring.lineage import RunDirectory
from mapring.scores.table import read_table
from mapring.settings import Settings
from mapring.watch.counting import Counting, label_counts
from mapring.watch.drift import find_drift
from mapring.watch.findings import Finding
from mapring.watch.reference import read_reference
from mapring.watch.stored import read_counts


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Counts by `source`, `window_start`, `label`, `model_fingerprint` with `rows`, of the current table; drifts."""

    counts: pa.Table
    drifts: tuple[Finding, ...] = ()


def window_length(settings: Settings) -> datetime.timedelta:
    """The length of the windows that rows are counted in."""
    return settings.watch.window_length


def gather(config: str, settings: Settings, now: datetime.datetime) -> Evidence:
    """Read the counts of the scores table, counting what is not counted yet, and what has drifted.

    Raises:
        SettingsError: there is no scores table yet.
        StageError: the table is none of ours.
    """
    run = RunDirectory(settings.run_dir)
    table = read_table(run.scores)
    if table is None:
        raise SettingsError(f"{config}: found no scores table at {run.scores}; run `mapring score {config}` first")
    found = (read_reference(run.model(model)) for model in table.models)
    references = {reference.model: reference for reference in found if reference is not None}
    edges = {model: reference.edges for model, reference in references.items() if reference.edges}
    counts = read_counts(table, Counting(window=window_length(settings), edges=edges))  # as scoring has counted them
    drifts = find_drift(counts, references, settings.watch, now).findings(settings.watch.tolerated_drift)
    return Evidence(counts=label_counts(counts), drifts=tuple(drifts))
