"""New text to the scores table by a stream that ends: `spark-submit spark_jobs/score_stream.py --config C [...]`.

Structured Streaming finds the files that have come (trigger AvailableNow) and hands them over in micro-batches, each of
which is one commit, the same as that of `score.py`. What a micro-batch has to do is told by the table, so one that is
handed over again after a kill scores nothing twice.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import sys
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring import storage
from mapring.contract import canonical_json
from mapring.errors import MapringError, SettingsError, StageError
from mapring.lineage import SourceFile, list_sources
from mapring.plan import Plan
from mapring.progress import say
from mapring.scores.work import find_work
from spark_jobs.arguments import leave, run_main
from spark_jobs.score import score
from spark_jobs.scored_inputs import STAGE
from spark_jobs.session import start_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from mapring.settings import Input

_CHECKPOINT = "_stream"  # below the table; readers of Delta pass over it
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_ANY_AGE = "36500d"  # Spark passes over files that are a week older than the newest; late ones must come in


def score_stream(plan: Plan) -> None:
    """Score the files that have come since the stream last ran, in micro-batches of `score.files_per_batch` an input.

    Raises:
        SettingsError: a setting that needs all inputs at once, or a glob that Spark reads otherwise.
        MapringError: as `score` does; the micro-batches before that one stay committed.
    """
    _check(plan)
    spark = start_session(plan.settings, STAGE)
    failures: list[MapringError] = []

    def score_batch(batch: DataFrame, number: int) -> None:
        try:
            files = _files(plan, {row["path"] for row in batch.select("path").distinct().collect()})
            say(STAGE, f"micro-batch {number}: {len(files):,} files")
            score(replace(plan, score_sources=files, is_part=True))
        except MapringError as error:  # Spark would wrap it in a trace of its own
            failures.append(error)
            raise

    arrivals = reduce(lambda left, right: left.union(right), [_arrivals(spark, plan, one) for one in _inputs(plan)])
    query = (
        arrivals.writeStream.foreachBatch(score_batch)
        .option("checkpointLocation", storage.join(plan.run.scores, _CHECKPOINT, _digest(plan)))
        .trigger(availableNow=True)
        .start()
    )
    try:
        query.awaitTermination()
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    _tell_what_waits(plan)


def _tell_what_waits(plan: Plan) -> None:
    """A stream hands over each file once: what another model or other settings ask for anew is no arrival.

    Nor are inputs that the table lacks again, since it went back to an older version.
    """
    _, work = find_work(plan)
    if work.reasons:
        told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(work.reasons.items()))
        say(
            STAGE,
            f"inputs wait that a stream does not hand over again ({told}); run `mapring score {plan.config}` "
            "without --stream",
        )


def _check(plan: Plan) -> None:
    scoring = plan.scoring
    for key, found in (("since", scoring.since), ("until", scoring.until)):
        if found is not None:
            raise SettingsError(
                f"{plan.config}: score.{key}: found {found!r}, but what a stream passes over it never sees again; "
                "remove it, or score without --stream"
            )
    if scoring.rescore:
        raise SettingsError(
            f"{plan.config}: score.rescore: found true, but a stream sees only what comes; remove it, or score without "
            "--stream"
        )
    if scoring.removed_inputs == "drop":
        raise SettingsError(
            f"{plan.config}: score.removed_inputs: found drop, but a stream sees only what comes; remove it, or score "
            "without --stream"
        )
    for position, source in enumerate(scoring.inputs):
        if "**" in source.path:
            raise SettingsError(
                f"{plan.config}: score.inputs.{position}.path: found **, which Spark's streams do not know; give the "
                "directory, whose folders are read, too, or score without --stream"
            )


def _inputs(plan: Plan) -> list[Input]:
    return [source.model_copy(update={"path": _normal(storage.resolve(source.path))}) for source in plan.scoring.inputs]


def _digest(plan: Plan) -> str:
    """A checkpoint knows its sources by number only; with other inputs there is another one, and all comes again."""
    sources = [[source.name, source.path] for source in _inputs(plan)]
    return hashlib.sha256(canonical_json(sources)).hexdigest()[:16]


def _arrivals(spark: SparkSession, plan: Plan, source: Input) -> DataFrame:
    """The paths of one input's files as they come; contents are not read here."""
    reader = (
        spark.readStream.format("binaryFile")
        .schema("path string, modificationTime timestamp, length bigint, content binary")
        .option("maxFilesPerTrigger", plan.scoring.files_per_batch)
        .option("maxFileAge", _ANY_AGE)
    )
    if not any(sign in source.path for sign in "*?["):
        reader = reader.option("recursiveFileLookup", "true")
    return reader.load(source.path).select(F.col("path"))


def _files(plan: Plan, arrived: set[str]) -> tuple[SourceFile, ...]:
    """The files of a micro-batch with their identities; others are only listed.

    Raises:
        StageError: Spark has handed over a file that is there and that we would not have read.
    """
    places = {_place(uri) for uri in arrived}
    files = list_sources(plan.config, "score.inputs", tuple(_inputs(plan)), only=lambda uri: _place(uri) in places)
    found = {_place(file.uri) for file in files}
    strange = sorted(uri for uri in arrived if _place(uri) not in found and storage.exists(_local(uri)))
    if strange:
        raise StageError(
            f"{strange[0]}: Spark's stream found this file, but it is none of score.inputs ({len(strange)} such "
            "files); score without --stream"
        )
    return files


def _place(uri: str) -> str:
    """A file's place without its scheme, in which Spark and we may differ (file:, s3a:)."""
    return posixpath.normpath("/" + _SCHEME.sub("", uri).lstrip("/"))


def _local(uri: str) -> str:
    """Spark's way to write a path as our storage layer reads it; what is not local stays as it is."""
    return _place(uri) if uri.startswith("file:") else uri


def _normal(path: str) -> str:
    """A path without `..` and the like, which Spark takes out of those that it hands over."""
    return path if _SCHEME.match(path) else os.path.abspath(path)  # noqa: PTH100  links stay


if __name__ == "__main__":
    leave(run_main(score_stream, sys.argv[1:]))
