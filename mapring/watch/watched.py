"""What is watched of a pipeline: its scores table as counts, and the references of the models that scored it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from mapring.plan import Plan
from mapring.scores.table import ScoresTable, read_table
from mapring.watch.counting import Counting
from mapring.watch.drift import DriftLook, find_drift
from mapring.watch.findings import Finding
from mapring.watch.reference import Reference, read_reference
from mapring.watch.stored import read_counts


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A version of a pipeline's scores table, as counts (COUNTS)."""

    plan: Plan
    table: ScoresTable
    counts: pa.Table
    references: dict[str, Reference]

    def drift(self, now: datetime.datetime) -> DriftLook:
        """What has drifted, of windows that have ended by a moment."""
        return find_drift(self.counts, self.references, self.plan.settings.watch, now)

    def drift_findings(self, now: datetime.datetime) -> list[Finding]:
        """The drifts of all judged windows, in the order of time."""
        return self.drift(now).findings(self.plan.settings.watch.tolerated_drift)


def look(plan: Plan) -> Watched | None:
    """Read the counts of a pipeline's scores table as it stands; None where there is none.

    Raises:
        StageError: it is no table of ours.
    """
    table = read_table(plan.run.scores)
    if table is None:
        return None
    counts = read_counts(table, counting_of(plan, table.models))
    return Watched(plan=plan, table=table, counts=counts, references=references_of(plan, table.models))


def references_of(plan: Plan, models: Iterable[str]) -> dict[str, Reference]:
    """The references of those models that have one."""
    found = {model: read_reference(plan.run.model(model)) for model in models}
    return {model: reference for model, reference in found.items() if reference is not None}


def counting_of(plan: Plan, models: Iterable[str]) -> Counting:
    """How the rows of these models are counted."""
    edges = {model: reference.edges for model, reference in references_of(plan, models).items() if reference.edges}
    return Counting(window=plan.settings.watch.window_length, edges=edges)
