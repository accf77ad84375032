"""The first rows of the scores table, published: `spark-submit spark_jobs/rank.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import sys

import pyarrow as pa

from mapring.contract import Manifest, code_version, is_published, publish, read_manifest, utc_now
from mapring.contract.schemas import RANKED
from mapring.errors import PublishedError, SettingsError, StageError
from mapring.plan import Plan, check_none_forgotten
from mapring.progress import say
from mapring.scores.ranked import files_digest, rank_settings, ranked_directory
from mapring.scores.table import ScoresTable, read_table
from mapring.settings import output_settings
from mapring.settings.combinations import ModeName
from spark_jobs.arguments import leave, run_main
from spark_jobs.fitting import PARTITIONS
from spark_jobs.session import start_session
from spark_jobs.tables import WrittenFile
from spark_jobs.top_rows import ByColumn, ByProbability, write_top_rows

STAGE = "rank"
_USUAL: dict[ModeName, str] = {
    "classify": "score",
    "answer": "score",
    "regression": "value",
    "retrieve": "score",
    "perplexity": "perplexity",
}


def rank(plan: Plan) -> None:
    """Publish the ranking of the table as it stands, unless that is there.

    Raises:
        SettingsError: there is nothing that sorts the rows.
        StageError: there is no scores table, a model is not there to tell the order of its labels, or a document was
            forgotten meanwhile.
    """
    rank_settings(plan)  # says where there are none
    table = read_table(plan.run.scores)
    if table is None:
        raise StageError(f"{plan.config}: found no scores table at {plan.run.scores}; run `mapring score` first")
    directory = ranked_directory(plan, table)
    if is_published(directory):
        say(STAGE, f"skipped: version {table.version} of the scores table is already ranked in {directory}")
        return
    by, files = _write(plan, table, directory) if table.files else ("nothing", [])
    check_none_forgotten(plan, STAGE)
    publish(directory, _manifest(plan, table, directory, files))
    rows = sum(file.entry.rows or 0 for file in files)
    stands_for = sum(int(file.statistics["stand_for"]) for file in files)
    say(
        STAGE,
        f"ranked version {table.version} of the scores table by {by}: {rows:,} rows, which stand for "
        f"{stands_for:,} of {table.rows:,}, in {directory}",
    )


def _write(plan: Plan, table: ScoresTable, directory: str) -> tuple[str, list[WrittenFile]]:
    """What sorts, in words, and the files of the ranking."""
    from deltalake import DeltaTable

    schema = pa.schema(DeltaTable(table.uri, version=table.version).schema())
    by = _by(plan, table, schema)
    spark = start_session(plan.settings, STAGE)
    fitting = max(spark.sparkContext.defaultParallelism, len(table.files))  # a file has 65,536 rows, of few bytes here
    spark.conf.set(PARTITIONS, plan.settings.spark.partitions or fitting)
    return by.told, write_top_rows(spark, table, schema, by, rank_settings(plan), directory)


def _by(plan: Plan, table: ScoresTable, schema: pa.Schema) -> ByColumn | ByProbability:
    """What sorts the rows.

    Raises:
        SettingsError: the table has no such number, or no such column to rank apart by.
    """
    settings = rank_settings(plan)
    for name in settings.per:
        if name not in schema.names:
            raise SettingsError(
                f"{plan.config}: rank.per: found {name}, but the scores table has no such column in mode "
                f"{plan.score_mode}; remove it"
            )
    if settings.label is not None:
        return ByProbability(settings.label, {model: _place(plan, model, settings.label) for model in table.models})
    numbers = [field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    column = settings.by or _USUAL.get(plan.score_mode)
    if column is None:
        raise SettingsError(
            f"{plan.config}: rank.by: found none, and mode {plan.score_mode} has no number of its own that sorts; name "
            f"one of {', '.join(numbers)}, or a label as rank.label"
        )
    if column not in numbers:
        raise SettingsError(
            f"{plan.config}: rank.by: found {column!r}, expected a column of the scores table with numbers: "
            f"{', '.join(numbers)}"
        )
    return ByColumn(column)


def _place(plan: Plan, model: str, label: str) -> int:
    """Where a label stands among the probabilities of a model, from 0."""
    try:
        labels = read_manifest(plan.run.model(model)).details.get("labels") or []
    except PublishedError as error:
        raise StageError(f"{plan.config}: rank.label: the order of its labels is not known: {error}") from None
    if label not in labels:
        raise SettingsError(
            f"{plan.config}: rank.label: found {label!r}, expected a label of the model {model}: {', '.join(labels)}"
        )
    return list(labels).index(label)


def _manifest(plan: Plan, table: ScoresTable, directory: str, files: list[WrittenFile]) -> Manifest:
    scores = {
        "kind": "scores",
        "version": table.version,
        "rows": table.rows,
        "files_sha256": files_digest(table),
        "models": table.models,
    }
    return Manifest(
        kind="ranked",
        fingerprint=directory.rstrip("/").rsplit("/", 1)[-1],
        created=utc_now(),
        code_version=code_version(),
        settings=output_settings(rank_settings(plan)),
        inputs=(scores,),
        files=tuple(file.entry for file in files),
        details={"columns": [*RANKED, *table.columns]},
    )


if __name__ == "__main__":
    leave(run_main(rank, sys.argv[1:]))
