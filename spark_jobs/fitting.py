"""Fit a stage's Spark session to its input and this machine, and say in a line what was chosen and why."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mapring import machine
from mapring.driver_memory import DRIVER_MEMORY, fitted_driver_memory, jvm_size
from mapring.lineage import SourceFile
from mapring.progress import bytes_text, say
from mapring.settings import Input, Settings
from spark_jobs.sample import Sample, take_sample
from spark_jobs.session import start_session
from spark_jobs.sizing import PREPROCESS, SCORE, Sizes, choose_sizes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARTITIONS = "spark.sql.shuffle.partitions"
BATCH_DOCUMENTS = "spark.sql.execution.arrow.maxRecordsPerBatch"
BATCH_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
_WORK = {"preprocess": PREPROCESS, "ranker": SCORE, "score": SCORE, "pairs": SCORE, "recommend": SCORE}
_SYSTEM_BYTES = 1 << 30  # left to the operating system and the driver's Python


def start_fitted_session(
    stage: str, settings: Settings, inputs: Sequence[Input], files: Sequence[SourceFile]
) -> SparkSession:
    """Start a stage's session, and meanwhile take the sample of its files that it is then fitted to."""
    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(take_sample, inputs, files)
        spark = start_session(settings, stage)
        fit_session(spark, stage, settings, sampling.result(), files)
    return spark


def fit_session(
    spark: SparkSession, stage: str, settings: Settings, sample: Sample, files: Sequence[SourceFile]
) -> None:
    """Set partitions and Arrow batches by a sample of the files. What the settings or spark-submit say stays."""
    cores = spark.sparkContext.defaultParallelism
    heap = int(spark.sparkContext._jvm.java.lang.Runtime.getRuntime().maxMemory())  # type: ignore[union-attr]
    sizes = choose_sizes(
        _WORK[stage],
        content_bytes=sample.content_bytes,
        text_bytes=sample.text_bytes,
        mean_document=sample.mean_document,
        largest_document=sample.largest_document,
        cores=cores,
        worker_bytes=_worker_bytes(spark, heap),
    )
    given = _given(spark, settings)
    chosen = {
        PARTITIONS: sizes.partitions,
        BATCH_DOCUMENTS: sizes.batch_documents,
        BATCH_BYTES: sizes.batch_bytes,
    }
    for key, value in chosen.items():
        spark.conf.set(key, given.get(key, str(value)))
    say(stage, f"sizing: {_tell_partitions(given, sizes, sample, cores)}, {_tell_batches(given, sizes, sample)}")
    say(stage, f"sizing: {_tell_memory(spark, stage, settings, files, heap)}")


def _given(spark: SparkSession, settings: Settings) -> dict[str, str]:
    """What is set, by Spark's names: by the settings, and before them by spark-submit."""
    submitted = spark.sparkContext.getConf()
    partitions = {PARTITIONS: str(settings.spark.partitions)} if settings.spark.partitions else {}
    given = {**settings.spark.conf, **partitions}
    return {**given, **dict(submitted.getAll())}


def _worker_bytes(spark: SparkSession, heap: int) -> int | None:
    """Memory for each Python worker beside a local driver; that of a cluster's executors is not known here."""
    cores = machine.local_cores(spark.sparkContext.master or "")
    return None if cores is None else max(0, machine.memory_limit() - heap - _SYSTEM_BYTES) // cores


def _tell_partitions(given: dict[str, str], sizes: Sizes, sample: Sample, cores: int) -> str:
    seen = (
        f"{bytes_text(sample.text_bytes)} of text estimated from a sample of {sample.sampled} of {sample.files} files"
    )
    if PARTITIONS in given:
        return f"partitions: {given[PARTITIONS]} as set ({seen}; {sizes.partitions:,} would fit)"
    return f"partitions: {sizes.partitions:,} ({seen}, {cores} cores)"


def _tell_batches(given: dict[str, str], sizes: Sizes, sample: Sample) -> str:
    documents = _or_as_set(given, BATCH_DOCUMENTS, f"{sizes.batch_documents:,}")
    size = _or_as_set(given, BATCH_BYTES, f"{sizes.batch_bytes >> 20} MiB")
    mean, largest = bytes_text(sample.mean_document), bytes_text(sample.largest_document)
    return f"batches of at most {documents} documents / {size} (mean {mean}, largest seen {largest})"


def _or_as_set(given: dict[str, str], key: str, chosen: str) -> str:
    return f"{given[key]} (as set)" if key in given else chosen


def _tell_memory(spark: SparkSession, stage: str, settings: Settings, files: Sequence[SourceFile], heap: int) -> str:
    """The JVM's memory and where it comes from; it cannot be changed any more."""
    fitted = jvm_size(fitted_driver_memory(stage, settings, files, master=spark.sparkContext.master or ""))
    set_to = spark.sparkContext.getConf().get(DRIVER_MEMORY)
    if settings.spark.driver_memory is None and DRIVER_MEMORY not in settings.spark.conf:
        if set_to is None:
            reason = f", Spark's default; spark-submit --driver-memory {fitted} would fit"
        else:
            reason = ", fitted to machine and inputs" if set_to == fitted else f", as set; {fitted} would fit"
    else:
        reason = " as set"
    return f"driver memory {heap / (1 << 30):.1f} GiB of {machine.memory_limit() / (1 << 30):.1f} GiB{reason}"
