"""What of a pipeline is published, what is under way, and what is missing."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence

from rich.console import Console

from mapring import storage
from mapring.contract import is_published, read_manifest
from mapring.plan import Plan, make_plan
from mapring.scores.ranked import ranked_directory
from mapring.scores.table import latest_commit, read_table
from mapring.scores.work import find_work, tell_work
from mapring.settings.schedule import Schedule
from pipelines.launch import last_checkpoint
from pipelines.names import told_figures
from pipelines.scheduling.told import schedule_rows
from pipelines.tables import PlainTable


def print_status(config: str, overrides: Sequence[str]) -> None:
    """Print a row for each stage: state, fingerprint, when, and what there is to know."""
    plan = make_plan(config, overrides)
    table = PlainTable(f"{plan.settings.name} in {plan.run.root}")
    for heading in ("stage", "state", "fingerprint", "when (UTC)", "what"):
        table.add_column(heading, overflow="fold")
    made = (_shards(plan), _model(plan), *ranker_rows(plan), *recommend_rows(plan))
    for row in (*made, _scores(plan), *rank_rows(plan)):
        table.add_row(*row)
    Console().print(table)
    if plan.settings.schedule is not None:
        _print_schedule(plan, plan.settings.schedule)


def _print_schedule(plan: Plan, schedule: Schedule) -> None:
    table = PlainTable(f"schedule {schedule.cron} ({schedule.timezone})", show_header=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for row in schedule_rows(plan, schedule, datetime.datetime.now(datetime.UTC)):
        table.add_row(*row)
    Console().print(table)


def _shards(plan: Plan) -> tuple[str, ...]:
    if not is_published(plan.shards_directory):
        return "preprocess", "not published", plan.shards, "", ""
    manifest = read_manifest(plan.shards_directory)
    counts = manifest.details["counts"]
    rows = ", ".join(f"{split} {details['rows']:,}" for split, details in manifest.details["splits"].items())
    what = f"read {counts['read']:,}, kept {counts['kept']:,} ({rows}), dropped {sum(counts['dropped'].values()):,}"
    return "preprocess", "published", plan.shards, manifest.created, what


def ranker_rows(plan: Plan) -> list[tuple[str, ...]]:
    """A row, where the pipeline has a ranker."""
    if plan.ranker is None:
        return []
    if not is_published(plan.ranker_directory):
        return [("ranker", "not published", plan.ranker, "", "")]
    manifest = read_manifest(plan.ranker_directory)
    found = manifest.details["evaluation"]
    what = f"{found['trees']:,} trees from {found['rows']:,} rows"
    if found.get("ndcg_at_10") is not None:
        what += f", NDCG@10 {found['ndcg_at_10']:.3f}, by text alone {found['text_ndcg_at_10']:.3f}"
    return [("ranker", "published", plan.ranker, manifest.created, what)]


def recommend_rows(plan: Plan) -> list[tuple[str, ...]]:
    """Rows of pairs and lists, where the pipeline recommends."""
    if plan.settings.recommend is None:
        return []
    rows: list[tuple[str, ...]] = []
    for stage, name, directory in (
        ("pairs", plan.pairs, plan.pairs_directory),
        ("recommend", plan.recommendations, plan.recommendations_directory),
    ):
        if not is_published(directory):
            rows.append((stage, "not published", str(name), "", ""))
            continue
        manifest = read_manifest(directory)
        told = ", ".join(
            f"{what} {count:,}" for what, count in manifest.details["counts"].items() if what != "left_out"
        )
        rows.append((stage, "published", str(name), manifest.created, told))
    return rows


def _model(plan: Plan) -> tuple[str, ...]:
    if is_published(plan.model_directory):
        manifest = read_manifest(plan.model_directory)
        test = manifest.details["evaluation"]["test"]
        what = f"test {told_figures(test)}, {manifest.details['precision']}"
        return "train", "published", plan.model, manifest.created, what
    checkpoint = last_checkpoint(plan)
    if checkpoint is None:
        return "train", "not published", plan.model, "", _last_metrics(plan)
    return "train", "interrupted or running", plan.model, "", f"last checkpoint {checkpoint}; {_last_metrics(plan)}"


def _last_metrics(plan: Plan) -> str:
    uri = storage.join(plan.training_directory, "metrics.jsonl")
    if not storage.exists(uri):
        return ""
    lines = storage.read_bytes(uri).splitlines()
    for line in reversed(lines):
        try:
            metrics = json.loads(line)
        except ValueError:  # the last line of a killed run may be cut
            continue
        return f"step {metrics['step']}, loss {metrics['loss']:.4f}"
    return ""


def _scores(plan: Plan) -> tuple[str, ...]:
    if plan.settings.score is None:
        return "score", "not asked for", "", "", ""
    table, work = find_work(plan, is_look=True)
    if table is None:
        return "score", "not published", "", "", tell_work(work)
    commit = latest_commit(plan.run.scores)
    when = commit.committed_at if commit is not None else ""
    what = f"{table.rows - table.failed:,} of {table.rows:,} rows, table version {table.version}"
    if work.is_done:
        return "score", "published", ", ".join(table.models), when, what
    return "score", "out of date", ", ".join(table.models), when, f"{what}; {tell_work(work)}"


def rank_rows(plan: Plan) -> list[tuple[str, ...]]:
    """A row, where the pipeline ranks: of the scores table as it stands."""
    if plan.settings.rank is None:
        return []
    table = read_table(plan.run.scores)
    if table is None:
        return [("rank", "not published", "", "", "")]
    directory = ranked_directory(plan, table)
    fingerprint, version = directory.rstrip("/").rsplit("/", 1)[-1], f"table version {table.version}"
    if not is_published(directory):
        return [("rank", "not published", fingerprint, "", version)]
    manifest = read_manifest(directory)
    rows = sum(file.rows or 0 for file in manifest.files)
    return [("rank", "published", fingerprint, manifest.created, f"{rows:,} rows of {table.rows:,}, {version}")]
