"""Scores of texts and given numbers to a ranker: `spark-submit spark_jobs/ranker.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import importlib.metadata
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from mapring.contract import is_published, read_manifest
from mapring.discounted_gain import query_figures
from mapring.errors import InputError, SettingsError, StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.base import output_settings
from mapring.settings.normalization import Normalization
from mapring.settings.ranker import Ranker
from spark_jobs.arguments import leave, run_main
from spark_jobs.backends.published import link_to
from spark_jobs.backends.stage import chosen_backend
from spark_jobs.carried import check_unread, unread_counts
from spark_jobs.fitting import start_fitted_session
from spark_jobs.labels import Labels
from spark_jobs.prediction import MODEL_FAILED
from spark_jobs.published_model import read_published_model
from spark_jobs.quarantine import check_quarantine
from spark_jobs.ranking.features import TextScores, text_scores
from spark_jobs.ranking.published import publish_ranker, read_rows, rows_of
from spark_jobs.ranking.rows import LABELLED, RowBuilder, carry_labelled, write_rows
from spark_jobs.ranking.trees import Fitted, TrainingRows, Trees, fit, is_held_out
from spark_jobs.records import FirstPass, read_records
from spark_jobs.retrieval.stage import published_bank
from spark_jobs.segments import plan_segments
from spark_jobs.session import partitions, watch
from spark_jobs.tables import WrittenFile
from spark_jobs.unchanged import check_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

STAGE = "ranker"
_GOLDEN = 32


def ranker(plan: Plan) -> None:
    """Score the rows to learn from, fit trees to scores and given numbers, compare, and publish them.

    Raises:
        SettingsError: the pipeline has no ranker, or the model gives no scores.
        InputError: rows that nothing can be learned from.
        StageError: there is no model yet, or it fails on too many texts.
    """
    directory, settings = plan.ranker_directory, plan.settings.ranker
    assert settings is not None
    if is_published(directory):
        say(STAGE, f"skipped: ranker {plan.ranker} is already published")
        return
    scores = _text_scores(plan, settings)
    spark = start_fitted_session(STAGE, plan.settings, settings.inputs, plan.ranker_sources)
    files = _scored_rows(spark, plan, settings, scores)
    table = read_rows(directory, [file.entry for file in files]).sort_by(
        [("group", "ascending"), ("doc_id", "ascending")]
    )
    rows = _training_rows(table, settings, plan.settings.seed)
    say(STAGE, f"fitting to {len(table):,} rows of {len(set(rows.groups)):,} groups")
    fitted = fit(rows, settings, settings.objective, plan.settings.seed)
    names = [*scores.names, *settings.inputs[0].feature_columns]
    evaluation = _evaluated(table, rows, fitted, names, settings)
    check_unchanged(plan.ranker_sources)
    publish_ranker(
        directory,
        fingerprint=str(plan.ranker),
        trees=fitted.text,
        golden=rows.seen[np.unique(np.linspace(0, len(table) - 1, _GOLDEN).astype(np.int64))],
        rows=[file.entry for file in files],
        evaluation=evaluation,
        settings=output_settings(settings),
        inputs=[
            link_to("model", plan.scoring_model_directory, plan.scoring_model),
            *(file.to_json() for file in plan.ranker_sources),
        ],
        details={
            "text_scores": list(scores.names),
            "text_score": scores.names[scores.own],
            "features": list(settings.inputs[0].feature_columns),
            "lightgbm": importlib.metadata.version("lightgbm"),
        },
    )
    _tell(plan, evaluation)


def _text_scores(plan: Plan, settings: Ranker) -> TextScores:
    """How the model's answers become numbers; refuses models that are not there or give none."""
    if not is_published(plan.scoring_model_directory):
        raise StageError(
            f"{plan.config}: found no model at {plan.scoring_model_directory}; run `mapring train {plan.config}` "
            "first, with the same settings"
        )
    model = read_published_model(plan.scoring_model_directory)
    try:
        return text_scores(model.mode_for(plan.scoring), model.details["labels"], plan.scoring, settings.label)
    except SettingsError as error:
        raise SettingsError(f"{plan.config}: {error}") from None


def _scored_rows(spark: SparkSession, plan: Plan, settings: Ranker, scores: TextScores) -> list[WrittenFile]:
    counted, scored = spark.sparkContext.accumulator(0), spark.sparkContext.accumulator(0)
    records = _read(spark, plan, settings, counted.add).persist()
    with watch(spark, STAGE, "read", counted):
        counts = records.groupBy("rule").agg(F.count(F.lit(1)).alias("count"), *unread_counts()).collect()
    by_rule: dict[str | None, int] = {row["rule"]: row["count"] for row in counts}
    read = sum(by_rule.values())
    if not read:
        raise InputError(f"{plan.config}: ranker.inputs: the files hold no records; check the inputs")
    allowed = plan.scoring.max_quarantined_share
    check_quarantine(records, by_rule, allowed_share=allowed, stage="score")
    check_unread(counts, allowed_share=allowed, stage="score")
    build = RowBuilder(
        model_directory=plan.scoring_model_directory,
        batch_tokens=plan.scoring.batch_tokens,
        answers=plan.scoring,
        scores=scores,
        width=len(settings.inputs[0].feature_columns),
        needs_group=all(source.group_column is not None for source in settings.inputs),
        on_rows=scored.add,
        backend_directory=chosen_backend(spark, plan),
        bank_directory=published_bank(spark, plan),
    )
    with watch(spark, STAGE, f"score {read:,} rows", scored):
        files = write_rows(records, build, count=read, directory=plan.ranker_directory)
    records.unpersist()
    _check_rows(plan, read, files)
    return files


def _read(spark: SparkSession, plan: Plan, settings: Ranker, on_rows: Callable[[int], None]) -> DataFrame:
    text = read_manifest(plan.scoring_model_directory).details["text"]  # as the model's own texts were normalized
    first_pass = FirstPass(
        segments=plan_segments(settings.inputs, plan.ranker_sources, plan.settings.spark.split_bytes),
        normalization=Normalization.model_validate(text),
        filters=None,
        on_rows=on_rows,
        labels=Labels("number"),
    )
    return read_records(spark, first_pass, partitions(spark), carry_labelled, LABELLED)


def _check_rows(plan: Plan, read: int, files: Sequence[WrittenFile]) -> None:
    """Every record is a row or counted as dropped, and the model did not fail on too many."""
    kept = sum(file.entry.rows or 0 for file in files)
    dropped = sum((Counter(file.statistics["dropped"]) for file in files), Counter[str]())
    if kept + dropped.total() != read:
        raise StageError(
            f"{STAGE}: read {read} rows but wrote {kept} and dropped {dict(dropped)}; nothing was published. Did an "
            "input change while it was read? Run the stage again"
        )
    failed, allowed = dropped[MODEL_FAILED], plan.scoring.max_failed_share
    if failed > allowed * (failed + kept):
        raise StageError(
            f"{STAGE}: the model failed on {failed:,} of {failed + kept:,} texts, allowed are {allowed:.1%} "
            "(score.max_failed_share); nothing was published. Check the model with `mapring verify`"
        )
    if dropped:
        say(STAGE, f"left out of {read:,} rows: {', '.join(f'{name} {n:,}' for name, n in sorted(dropped.items()))}")
    if not kept:
        raise InputError(f"{plan.config}: ranker.inputs: found no row with text, label and group; check them")


def _training_rows(table: pa.Table, settings: Ranker, seed: int) -> TrainingRows:
    groups = table.column("group").to_pylist()
    held = {group: is_held_out(group, settings.held_out, seed) for group in set(groups)}
    return TrainingRows(
        seen=rows_of(table, "seen"),
        labels=table.column("label").to_numpy(),
        groups=groups,
        held_out=np.array([held[group] for group in groups]),
    )


def _evaluated(
    table: pa.Table, rows: TrainingRows, fitted: Fitted, names: Sequence[str], settings: Ranker
) -> dict[str, Any]:
    """Figures on held-out groups: those of the ranker, and of the text's score alone."""
    held = np.flatnonzero(rows.held_out)
    found: dict[str, Any] = {
        "rows": len(table),
        "held_out_rows": len(held),
        "groups": len(set(rows.groups)),
        "trees": fitted.trees,
        fitted.metric: fitted.value,
        "gain_share": dict(zip(names, fitted.importance, strict=True)),
    }
    if settings.inputs[0].group_column is None or rows.labels.min() < 0:
        return found
    groups, labels = [rows.groups[row] for row in held.tolist()], rows.labels[held]
    ranked = query_figures(groups, Trees(fitted.text)(rows.seen[held]), labels)
    alone = query_figures(groups, table.column("text_score").to_numpy()[held], labels)
    return {**found, **ranked, "text_ndcg_at_10": alone["ndcg_at_10"]}


def _tell(plan: Plan, evaluation: Mapping[str, Any]) -> None:
    told = f"published ranker {plan.ranker}: {evaluation['trees']:,} trees"
    ranked, alone = evaluation.get("ndcg_at_10"), evaluation.get("text_ndcg_at_10")
    if ranked is not None and alone is not None:
        told += f"; NDCG@10 on {evaluation['ranked_queries']:,} held-out groups {ranked:.4f}, by text alone {alone:.4f}"
        if ranked <= alone:
            told += ": the ranker is no better than the text alone; check the features"
    say(STAGE, told)


if __name__ == "__main__":
    leave(run_main(ranker, sys.argv[1:]))
