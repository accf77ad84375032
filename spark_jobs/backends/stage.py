"""Before scoring: the backend that a plan asks for, chosen and published by one Spark task."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mapring.contract import read_manifest
from mapring.errors import StageError
from mapring.plan import Plan
from mapring.progress import say
from spark_jobs.backends.probe import GATE_ROWS, Choice, Probe, choose
from spark_jobs.task_device import task_device, task_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyspark.sql import SparkSession

STAGE = "score"


def chosen_backend(spark: SparkSession, plan: Plan) -> str | None:
    """Directory of the backend to score with; None for the model as it was published.

    A task measures, so that an executor's CPU is seen and not the driver's.

    Raises:
        StageError: the backend that was set does not pass the gate, naming its figure.
    """
    scoring = plan.scoring
    if scoring.backend == "torch":
        return None
    probe = Probe(
        model_directory=plan.scoring_model_directory,
        shards_directory=shards_directory_of(plan),
        run_directory=plan.run.root,
        backend=scoring.backend,
        min_agreement=scoring.min_agreement,
        max_metric_loss=scoring.max_metric_loss,
        batch_tokens=scoring.batch_tokens,
    )
    say(STAGE, f"backend {scoring.backend}: held against fp32 on {GATE_ROWS:,} validation rows, or all of fewer")
    [choice] = spark.sparkContext.parallelize([probe], 1).mapPartitions(_in_task).collect()
    for line in choice.lines:
        say(STAGE, line)
    if choice.directory is None:
        raise StageError(
            f"{plan.config}: {choice.refusal}; nothing was scored. Allow it, or set score.backend=auto, or torch"
        )
    return str(choice.directory)


def shards_directory_of(plan: Plan) -> str:
    """The shards that the model was trained on: the plan's, or those of an earlier model that is scored with."""
    if plan.scoring_model == plan.model:
        return plan.shards_directory
    links = read_manifest(plan.scoring_model_directory).inputs
    return plan.run.shards(next(str(link["fingerprint"]) for link in links if link.get("kind") == "shards"))


def _in_task(probes: Iterable[Probe]) -> Iterator[Choice]:
    yield from map(partial(choose, threads=task_threads(), device=task_device()), probes)
