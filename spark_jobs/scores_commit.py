"""Commit one scoring to the Delta table: the only moment at which scores become visible.

Tasks wrote the Parquet files; here the driver adds them to the table's log in one transaction, which
replaces the rows of the scoring before. The application id is pipeline and model, the version counts
its scorings, so that of two runs that race to commit the same scoring one is refused.
Correctness comes from this commit alone: files of a run that died before it are never seen.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from mapring.contract import code_version
from mapring.contract.schemas import score_schema
from mapring.errors import StageError
from mapring.plan import Plan
from spark_jobs.tables import WrittenFile


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What one scoring wrote."""

    run_id: str
    files: list[WrittenFile]
    seconds: float

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.entry.rows or 0 for file in self.files)

    @property
    def scored(self) -> int:
        """Rows that have a label."""
        return sum(int(file.statistics["scored"]) for file in self.files)

    @property
    def errors(self) -> dict[str, int]:
        """Rows without a label, by the rule that says why."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.statistics["errors"])
        return dict(sorted(total.items()))

    @property
    def padding_share(self) -> float:
        """Share of what the model was given that is padding."""
        tokens, padded = (sum(int(file.statistics[key]) for file in self.files) for key in ("tokens", "padded_tokens"))
        return 1 - tokens / padded if padded else 0.0

    @property
    def documents_per_second(self) -> float:
        """Scored rows by the time of the scoring job, loading the model included."""
        return self.scored / self.seconds if self.seconds > 0 else 0.0


def commit_scores(plan: Plan, scoring: Scoring, table: DeltaTable | None) -> int:
    """Make one scoring the content of the table; returns the table's new version.

    Args:
        plan: what was scored, and where the table is.
        scoring: the files that the tasks wrote.
        table: the table as this run found it before it began to score (None: there was none). A
            commit by another run since then makes this one fail rather than win.

    Raises:
        StageError: another run committed in the meantime.
    """
    application = f"{plan.settings.name}:{plan.model}"
    sequence = ((table.transaction_version(application) or 0) if table is not None else 0) + 1
    properties = CommitProperties(
        custom_metadata=_metadata(plan, scoring),
        max_commit_retries=0,
        app_transactions=[Transaction(application, sequence)],
    )
    actions = [_add_action(file) for file in scoring.files]
    schema = Schema.from_arrow(score_schema(plan.settings.score_mode))
    try:
        if table is None:
            create_table_with_add_actions(
                plan.run.scores, schema, actions, mode="error", commit_properties=properties, name=plan.settings.name
            )
            return 0
        table.create_write_transaction(actions, "overwrite", schema, commit_properties=properties)
    except (CommitFailedError, DeltaError) as error:
        raise StageError(
            f"{plan.run.scores}: another run committed to the scores table while this one scored ({error}); "
            "nothing of this run is visible. Run the command again: what is already scored is skipped"
        ) from error
    return int(DeltaTable(plan.run.scores).version())


def open_table(uri: str) -> DeltaTable | None:
    """The scores table as it stands now, or None where there is none."""
    try:
        return DeltaTable(uri)
    except TableNotFoundError:
        return None


def _add_action(file: WrittenFile) -> AddAction:
    statistics = json.dumps({"numRecords": file.entry.rows})
    return AddAction(file.entry.path, file.entry.bytes, {}, int(time.time() * 1000), True, statistics)


def _metadata(plan: Plan, scoring: Scoring) -> dict[str, str]:
    values = {
        "fingerprint": plan.scores,
        "pipeline": plan.settings.name,
        "model": plan.model,
        "shards": plan.shards,
        "run_id": scoring.run_id,
        "code_version": code_version(),
        "docs_per_second": f"{scoring.documents_per_second:.1f}",
        "counts": {"read": scoring.rows, "scored": scoring.scored, "errors": scoring.errors},
        "inputs": [source.to_json() for source in plan.score_sources],
        "files": {
            file.entry.path: {"sha256": file.entry.sha256, "rows": file.entry.rows, "bytes": file.entry.bytes}
            for file in scoring.files
        },
    }
    return {
        f"mapring.{key}": value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in values.items()
    }
