"""Memory of the Spark driver's JVM, fitted to the machine and the corpus. It must be known before the JVM starts.

Under a local master the driver is all of Spark: it caches the records, and beside it each core has a Python worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mapring import compressed, machine
from mapring.lineage import SourceFile
from mapring.settings import Input, Settings
from mapring.settings.ranker import Ranker
from mapring.settings.schema import Preprocess
from mapring.settings.score import Score

DRIVER_MEMORY = "spark.driver.memory"  # Spark's name of the setting

_MIB, _GIB = 1 << 20, 1 << 30
_LEAST = 512 * _MIB  # Spark itself asks for 450 MiB
_USUAL = 2 * _GIB  # enough for a driver without data, and for corpora of some hundred megabytes
_MOST = 30 * _GIB  # from 32 GiB on the JVM's pointers need 8 bytes instead of 4
_STEP = 256 * _MIB
_BASE = 1 * _GIB  # what Spark needs besides cached records
_TIMES_TEXT = 3  # records are cached as rows with their hashes, in the 60% of the heap that Spark gives to data
_SYSTEM = 1 * _GIB  # the operating system, and the driver's Python
_WORKER: Mapping[str, int] = {
    "preprocess": 3 * _GIB // 2,
    "score": 2 * _GIB,
    "ranker": 2 * _GIB,
    "pairs": 1 * _GIB,
    "recommend": 2 * _GIB,
}  # with a model for language, or torch
_EXPANSION: Mapping[str | None, int] = {None: 1, "gzip": 4, "bz2": 5, "zstd": 4}
_PARQUET_EXPANSION = 3


def fitted_driver_memory(stage: str, settings: Settings, files: Iterable[SourceFile], *, master: str) -> int:
    """Bytes for the driver's JVM of one stage that reads `files`, on this machine and under this master URL."""
    sections = {"preprocess": settings.preprocess, "ranker": settings.ranker, "score": settings.score}
    inputs = _behaviour(settings) if stage in ("pairs", "recommend") else _inputs(sections[stage])
    return fit_driver_memory(
        assumed_text_bytes(inputs, files),
        limit=machine.memory_limit(),
        cores=machine.local_cores(master),
        worker=_WORKER[stage],
    )


def _inputs(section: Preprocess | Ranker | Score | None) -> tuple[Input, ...]:
    return () if section is None else section.inputs


def _behaviour(settings: Settings) -> tuple[Input, ...]:
    own = settings.recommend
    return () if own is None else (own.interactions.as_input, own.items.as_input)


def fit_driver_memory(text_bytes: int, *, limit: int, cores: int | None, worker: int) -> int:
    """Bytes for the driver's JVM: what the text needs, and never more than leaves room for all else.

    Args:
        text_bytes: of the corpus, uncompressed.
        limit: memory of the machine in bytes, or of the control group.
        cores: Python workers beside the driver; None where they run on other machines.
        worker: bytes of one of these.

    Returns:
        A multiple of 256 MiB, at least 512 MiB, at most 30 GiB and, from 1 GiB on, half of the limit: the page cache
        holds the files of shuffles.
    """
    wanted = _USUAL if cores is None else max(_USUAL, _BASE + _TIMES_TEXT * text_bytes)
    beside = _SYSTEM + (cores or 0) * worker
    room = max(limit // 4, min(limit // 2, limit - beside))
    return max(_LEAST, min(wanted, room, _MOST) // _STEP * _STEP)


def assumed_text_bytes(inputs: Iterable[Input], files: Iterable[SourceFile]) -> int:
    """Bytes of text in files of which only the sizes are known; compressed ones hold a few times their size.

    A web archive's pages are mostly markup, so its text is taken for no more than its file, compressed or not.
    """
    formats = {source.name: source.format for source in inputs}
    return sum(file.bytes * _expansion(formats[file.source], file.uri) for file in files)


def _expansion(file_format: str, uri: str) -> int:
    if file_format == "warc":
        return 1
    return _PARQUET_EXPANSION if file_format == "parquet" else _EXPANSION[compressed.compression(uri)]


def jvm_size(size: int) -> str:
    """Bytes as the JVM's options write them, in whole MiB: 4608m."""
    return f"{size // _MIB}m"
