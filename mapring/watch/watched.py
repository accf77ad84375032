"""What is watched of a pipeline: its scores table as counts, and the references of the models that scored it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from mapring.run_directory import RunDirectory
from mapring.scores.table import ScoresTable, read_table
from mapring.settings import Settings
from mapring.watch.counting import Counting
from mapring.watch.drift import DriftLook, find_drift
from mapring.watch.findings import Finding
from mapring.watch.reference import Reference, read_reference
from mapring.watch.stored import read_counts, read_groups


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A version of a pipeline's scores table, as counts (COUNTS)."""

    settings: Settings
    table: ScoresTable
    counts: pa.Table
    references: dict[str, Reference]

    def groups(self, since: datetime.datetime | None = None) -> pa.Table | None:
        """GROUPS of windows from a moment on; None where labels are not counted by group."""
        counting = _counting(self.settings, self.references)
        return read_groups(self.table, counting, since) if counting.by_group else None

    def drift(self, now: datetime.datetime) -> DriftLook:
        """What has drifted, of windows that have ended by a moment."""
        return find_drift(self.counts, self.references, self.settings.watch, now)

    def drift_findings(self, now: datetime.datetime) -> list[Finding]:
        """The drifts of all judged windows, in the order of time."""
        return self.drift(now).findings(self.settings.watch.tolerated_drift)


def look(settings: Settings) -> Watched | None:
    """Read the counts of a pipeline's scores table as it stands; None where there is none.

    Raises:
        StageError: it is no table of ours.
    """
    table = read_table(RunDirectory(settings.run_dir).scores)
    if table is None:
        return None
    references = references_of(settings, table.models)
    counts = read_counts(table, _counting(settings, references))
    return Watched(settings=settings, table=table, counts=counts, references=references)


def references_of(settings: Settings, models: Iterable[str]) -> dict[str, Reference]:
    """The references of those models that have one."""
    run = RunDirectory(settings.run_dir)
    found = {model: read_reference(run.model(model)) for model in models}
    return {model: reference for model, reference in found.items() if reference is not None}


def counting_of(settings: Settings, models: Iterable[str]) -> Counting:
    """How the rows of these models are counted."""
    return _counting(settings, references_of(settings, models))


def _counting(settings: Settings, references: Mapping[str, Reference]) -> Counting:
    edges = {model: reference.edges for model, reference in references.items() if reference.edges}
    return Counting(window=settings.watch.window_length, edges=edges, by_group=settings.watch.by_group)
