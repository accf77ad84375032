"""The closing table of a run: what was counted, how good the model is, how fast, where everything is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from mapring.contract import read_manifest
from mapring.plan import Plan
from mapring.progress import seconds_text
from mapring.scores.table import latest_commit, read_table
from pipelines.names import BASELINES, told_figures
from pipelines.tables import PlainTable


def print_summary(plan: Plan, seconds: Mapping[str, float]) -> None:
    """Print the table; `seconds` has the wall time of each stage that ran."""
    table = PlainTable(f"{plan.settings.name}: results", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in [*_data_rows(plan), *_model_rows(plan), *_score_rows(plan), *_time_rows(seconds)]:
        table.add_row(name, value)
    table.add_section()
    places = {
        "shards": plan.shards_directory,
        "model": plan.model_directory,
        **({} if plan.settings.score is None else {"scores": plan.run.scores}),
        "report": plan.run.report,
    }
    for name, place in places.items():
        table.add_row(name, place)
    Console(soft_wrap=False).print(table)


def _data_rows(plan: Plan) -> list[tuple[str, str]]:
    counts = read_manifest(plan.shards_directory).details["counts"]
    dropped = counts["dropped"]
    reasons = ", ".join(f"{rule} {count:,}" for rule, count in dropped.items())
    total = f"read {counts['read']:,} = kept {counts['kept']:,} + dropped {sum(dropped.values()):,}"
    return [("documents", total + (f" ({reasons})" if reasons else ""))]


def _model_rows(plan: Plan) -> list[tuple[str, str]]:
    details = read_manifest(plan.model_directory).details
    evaluation = details["evaluation"]
    baselines: Mapping[str, Mapping[str, Any]] = evaluation.get("baselines") or {}
    rows = [("test split", told_figures(evaluation["test"]) + f" on {evaluation['test']['rows']:,} rows")]
    rows += [(f"  {BASELINES.get(name, name)}", told_figures(metrics)) for name, metrics in baselines.items()]
    speed = details["throughput"]
    rate = f"{speed['samples_per_second']:,.0f} samples/s, {speed['tokens_per_second']:,.0f} tokens/s"
    rows.append(("training", f"{rate}, {details['world_size']} ranks, {details['precision']}"))
    return rows


def _score_rows(plan: Plan) -> list[tuple[str, str]]:
    table = read_table(plan.run.scores)
    if table is None:
        return []
    rows = [("scores table", f"{table.rows - table.failed:,} of {table.rows:,} rows have a score")]
    commit = latest_commit(plan.run.scores)
    if commit is not None:
        errors = ", ".join(f"{rule} {count:,}" for rule, count in commit.counts["errors"].items())
        counts, speed = commit.counts, f"{commit.documents_per_second:,.0f} docs/s"
        text = f"{counts['scored']:,} of {counts['read']:,} rows at {speed}"
        rows.append(("last scoring", text + (f"; not scored: {errors}" if errors else "")))
    return rows


def _time_rows(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    if not seconds:
        return [("time", "nothing to do: all stages were skipped")]
    stages = ", ".join(f"{stage} {seconds_text(value)}" for stage, value in seconds.items())
    return [("time", f"{seconds_text(sum(seconds.values()))}: {stages}")]
