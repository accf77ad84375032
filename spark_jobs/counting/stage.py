"""The stats/ tables of published shards, all of them: counted in tasks, added up in Spark, bounded in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract import FileEntry, content_name, write_file
from mapring.filter_rules import measures_of, rules_of
from mapring.settings.schema import Preprocess
from spark_jobs.counting.documents import cluster_sizes, measure_histograms
from spark_jobs.counting.keys import KeyCounter, count_keys
from spark_jobs.counting.ngrams import top_ngrams
from spark_jobs.counting.sums import sum_drops, sum_shards
from spark_jobs.counting.terms import top_terms
from spark_jobs.counting.words import WordTotals, top_words
from spark_jobs.tables import WrittenFile, parquet_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Frames(NamedTuple):
    """What Spark counts, all persisted: records read, documents marked as duplicates or not, documents kept."""

    records: DataFrame
    marked: DataFrame
    kept: DataFrame


class Counted(NamedTuple):
    """The tables that Spark counts, by name, and the totals of words where they are counted."""

    tables: dict[str, pa.Table]
    words: WordTotals | None


class Statistics(NamedTuple):
    """The tables' files, and the tokens of each split."""

    entries: list[FileEntry]
    tokens: dict[str, int]


def count_tables(frames: Frames, kept: int, labels: Sequence[str], settings: Preprocess) -> Counted:
    """Count duplicates, measures and words; `kept` documents are in `frames.kept`, `labels` are sorted names."""
    tables = {
        "cluster_sizes": cluster_sizes(frames.marked),
        "measures": measure_histograms(frames.records, measures_of(rules_of(settings.filters))),
    }
    if not settings.words.statistics:
        return Counted(tables, None)
    found, totals = _word_tables(frames.kept, kept, labels, settings)
    return Counted({**tables, **found}, totals)


def write_statistics(
    counted: Counted, data: list[WrittenFile], ledger: list[WrittenFile], directory: str
) -> Statistics:
    """Write every table below `stats/`: those counted, and sums of what tasks counted while they wrote."""
    sums, tokens = sum_shards(data)
    tables = {**sums, "drops": sum_drops(ledger), **counted.tables}
    return Statistics([_write(name, table, directory) for name, table in tables.items()], tokens)


def _word_tables(
    kept: DataFrame, documents: int, labels: Sequence[str], settings: Preprocess
) -> tuple[dict[str, pa.Table], WordTotals]:
    """The tables of words; the texts are cut into words twice, which is cheaper than storing or moving the words."""
    found, totals = top_words(kept, settings.words)
    vocabulary = found.column("word").combine_chunks()
    vocabulary = vocabulary.take(pc.sort_indices(vocabulary))
    sources = tuple(sorted(source.name for source in settings.inputs))
    separator = settings.label_separator if settings.labels == "several" else None
    counter = KeyCounter(settings.words, vocabulary, tuple(labels), sources, separator)
    keys = count_keys(kept, counter).persist()
    tables = {}
    tables["words"] = found
    tables["ngrams"] = top_ngrams(keys, counter)
    tables["top_terms"] = top_terms(keys, counter, found, documents)
    keys.unpersist()
    return tables, totals


def _write(name: str, table: pa.Table, directory: str) -> FileEntry:
    content = parquet_bytes(table.combine_chunks(), rows_per_row_group=65_536)
    return write_file(directory, f"stats/{content_name(name, content, '.parquet')}", content, table.num_rows)
