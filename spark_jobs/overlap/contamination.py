"""Decontamination: documents that share n-grams with texts that models are evaluated on are dropped.

Training on them would make the evaluation a test of memory (Brown et al. 2020, appendix C, who take 13-grams too).
Documents that the settings put in the test or validation split are not trained on and stay: an official test file may
itself be an evaluation file. Documents that a hash puts there are judged like all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.errors import InputError
from mapring.lineage import SourceFile
from mapring.progress import say
from mapring.settings import Settings
from mapring.settings.schema import Decontamination
from spark_jobs.formats.raw import QUARANTINE_RULES
from spark_jobs.overlap.hash_filter import build_filter
from spark_jobs.overlap.ngrams import NgramLister, list_ngrams
from spark_jobs.records import FirstPass, read_records
from spark_jobs.segments import plan_segments

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CONTAMINATED = "contaminated"


def mark_contaminated(
    records: DataFrame, sources: tuple[SourceFile, ...], settings: Settings, *, partitions: int
) -> DataFrame:
    """Give the rule `contaminated` to records for training that share n-grams with the evaluation texts.

    Args:
        records: RECORD rows in `partitions` partitions by content hash; their texts are not moved.
        sources: the evaluation files.
        settings: the pipeline's; evaluation texts are normalized as the corpus is.
        partitions: tasks of the joins.

    Raises:
        InputError: an evaluation file has a record that cannot be read, or none of them has a word.
    """
    chosen = settings.preprocess.decontamination
    known = _evaluation_ngrams(_read(records.sparkSession, sources, settings, partitions), chosen).persist()
    count = known.count()
    if not count:
        raise InputError("preprocess.decontamination.inputs: the evaluation files hold no words; check text_column")
    say("preprocess", f"decontamination: {count:,} n-grams in {len(sources)} evaluation files")
    only = records.sparkSession.sparkContext.broadcast(build_filter(known, count))
    lister = NgramLister(unit=chosen.unit, length=chosen.length, keys=("content_hash",), only=only)
    # Equal documents list the same n-grams, so each content is judged once.
    hits = list_ngrams(records.where(F.col("rule").isNull()), lister).distinct()
    shared = hits.join(known, "ngram").groupBy("content_hash", "ngrams")
    judged = shared.agg(F.count("*").alias("shared"), F.min("first").alias("first"))
    judged = judged.withColumn("share", F.col("shared") / F.col("ngrams"))
    judged = judged.where(F.col("share") >= chosen.minimum_share).repartition(partitions, "content_hash").persist()
    judged.count()
    known.unpersist()
    return _with_rule(records, judged, chosen)


def _read(spark: SparkSession, sources: tuple[SourceFile, ...], settings: Settings, partitions: int) -> DataFrame:
    """The evaluation texts as RECORD rows; one that cannot be read would leave the corpus contaminated."""
    given = settings.preprocess.decontamination.inputs
    inputs = [source.model_copy(update={"label_column": None}) for source in given]
    first_pass = FirstPass(
        segments=plan_segments(inputs, sources, settings.spark.split_bytes),
        normalization=settings.preprocess.normalization,
        filters=None,
        on_rows=_ignore,
    )
    found = read_records(spark, first_pass, partitions)
    bad = found.where(F.col("rule").isin(*QUARANTINE_RULES)).orderBy("source", "path", "record").head()
    if bad is not None:
        raise InputError(
            f"preprocess.decontamination.inputs: {bad['source']}/{bad['path']}:{bad['record']} cannot be read "
            f"({bad['rule']}: {bad['detail']}); repair the file, or correct its format or encoding"
        )
    return found.where(F.col("rule").isNull())


def _ignore(_rows: int) -> None:
    """Rows of evaluation files are not counted."""


def _evaluation_ngrams(texts: DataFrame, settings: Decontamination) -> DataFrame:
    """Each n-gram of the evaluation texts, with the first record that has it."""
    place = ("source", "path", "record")
    lister = NgramLister(unit=settings.unit, length=settings.length, keys=place)
    return list_ngrams(texts, lister).groupBy("ngram").agg(F.min(F.struct(*place)).alias("first"))


def _with_rule(records: DataFrame, judged: DataFrame, settings: Decontamination) -> DataFrame:
    """The records, those of judged contents without text and with rule, measure, bound and where the text stands."""
    columns = records.columns
    place = F.concat_ws("/", "first.source", "first.path")
    detail = F.format_string(
        f"%d of %d n-grams of {settings.length} {settings.unit}s, first in %s:%d",
        "shared",
        "ngrams",
        place,
        "first.record",
    )
    told: dict[str, Column] = {
        "rule": F.lit(CONTAMINATED),
        "measured": F.col("share").cast("string"),
        "threshold": F.lit(str(settings.minimum_share)),
        "detail": detail,
        "text": F.lit(None).cast("string"),
    }
    joined = records.join(judged.hint("shuffle_hash"), "content_hash", "left")  # sorting would move all the text
    is_trained_on = F.coalesce("given_split", F.lit("train")) == "train"
    is_hit = F.col("rule").isNull() & F.col("share").isNotNull() & is_trained_on
    return joined.withColumns({name: F.when(is_hit, new).otherwise(F.col(name)) for name, new in told.items()}).select(
        *columns
    )
