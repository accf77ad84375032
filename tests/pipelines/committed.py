"""A scores table with given answers, without a model and without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from mapring.contract import write_file
from mapring.contract.schemas import score_schema
from mapring.plan import Plan
from mapring.scores.statistics import file_statistics
from spark_jobs.scores_commit import Scoring, commit_scores
from spark_jobs.tables import WrittenFile, parquet_bytes


def commit_answers(plan: Plan, answers: Sequence[Mapping[str, Any]], seconds: float = 2.0) -> None:
    """Commit rows with these answers, or errors, as the scores of a plan's one input."""
    [source] = plan.score_sources
    made = {
        "source": source.source,
        "path": source.relative,
        "input_identity": source.identity,
        "model_fingerprint": plan.model,
        "settings_fingerprint": plan.score_settings[source.source],
        "run_id": "r",
        "scored_at": datetime.now(UTC),
    }
    rows = [
        {"doc_id": str(record), "record": record, **made, **answer} for record, answer in enumerate(answers, start=1)
    ]
    table = pa.Table.from_pylist(rows, schema=score_schema(plan.score_mode))
    entry = write_file(plan.run.scores, "data/part-0.parquet", parquet_bytes(table, 100), len(rows))
    errors = [row["error"] for row in rows if row.get("error") is not None]
    statistics = {
        "scored": len(rows) - len(errors),
        "errors": {rule: errors.count(rule) for rule in errors},
        "computed": len(rows) - len(errors),
        "fanned_out": 0,
        "tokens": 3,
        "padded_tokens": 3,
        "drafted": 0,
        "draft_failures": 0,
        "delta": file_statistics(table),
    }
    scoring = Scoring(run_id="r", inputs=1, files=[WrittenFile("0", entry, statistics)], seconds=seconds)
    commit_scores(plan, None, scoring)
