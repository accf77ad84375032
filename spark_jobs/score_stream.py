"""New text to the scores table by a stream that ends: `spark-submit spark_jobs/score_stream.py --config C [...]`.

Structured Streaming finds the files that have come (trigger AvailableNow) and hands them over in micro-batches, each of
which is one commit, the same as that of `score.py`. What a micro-batch has to do is told by the table, so one that is
handed over again after a kill scores nothing twice.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pyspark.sql import functions as F

from mapring import storage
from mapring.errors import MapringError
from mapring.lineage import SourceFile, list_sources
from mapring.plan import Plan
from mapring.progress import say
from spark_jobs.arguments import leave, run_main
from spark_jobs.score import score
from spark_jobs.scored_inputs import STAGE
from spark_jobs.session import start_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from mapring.settings import Input

_CHECKPOINT = "_stream"  # below the table; readers of Delta pass over it
_ANY_AGE = "36500d"  # Spark passes over files that are a week older than the newest; late ones must come in


def score_stream(plan: Plan) -> None:
    """Score the files that have come since the stream last ran, in micro-batches of `score.files_per_batch`.

    Raises:
        MapringError: as `score` does; the micro-batches before that one stay committed.
    """
    spark = start_session(plan.settings, STAGE)
    failures: list[MapringError] = []

    def score_batch(batch: DataFrame, number: int) -> None:
        arrived = {_place(row["path"]) for row in batch.select("path").distinct().collect()}
        files = _files(plan, arrived)
        say(STAGE, f"micro-batch {number}: {len(files):,} files")
        try:
            score(replace(plan, score_sources=files))
        except MapringError as error:  # Spark would wrap it in a trace of its own
            failures.append(error)
            raise

    query = (
        reduce(lambda left, right: left.union(right), [_arrivals(spark, plan, one) for one in plan.scoring.inputs])
        .writeStream.foreachBatch(score_batch)
        .option("checkpointLocation", storage.join(plan.run.scores, _CHECKPOINT))
        .trigger(availableNow=True)
        .start()
    )
    try:
        query.awaitTermination()
    except Exception:
        if failures:
            raise failures[0] from None
        raise


def _arrivals(spark: SparkSession, plan: Plan, source: Input) -> DataFrame:
    """The paths of one input's files as they come; contents are not read here."""
    reader = (
        spark.readStream.format("binaryFile")
        .schema("path string, modificationTime timestamp, length bigint, content binary")
        .option("maxFilesPerTrigger", plan.scoring.files_per_batch)
        .option("maxFileAge", _ANY_AGE)
    )
    path = storage.resolve(source.path)
    if not any(sign in path for sign in "*?["):
        reader = reader.option("recursiveFileLookup", "true")
    return reader.load(path).select(F.col("path"))


def _files(plan: Plan, arrived: set[str]) -> tuple[SourceFile, ...]:
    """The files of a micro-batch with their identities; others are only listed."""
    return list_sources(plan.config, "score.inputs", plan.scoring.inputs, only=lambda uri: _place(uri) in arrived)


def _place(uri: str) -> str:
    """A file's place without the scheme, in which Spark and we may differ (file:, s3a:), and without escapes."""
    if "://" not in uri and not uri.startswith("file:"):
        return uri
    parts = urlsplit(uri)
    return unquote(f"{parts.netloc}{parts.path}")


if __name__ == "__main__":
    leave(run_main(score_stream, sys.argv[1:]))
