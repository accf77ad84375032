"""The stats/ tables of published shards, all of them: counted in tasks, added up in Spark, bounded in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from mapring.contract import FileEntry, content_name, write_file
from mapring.filter_rules import measures_of, rules_of
from mapring.settings.schema import Preprocess
from mapring.settings.words import Words
from spark_jobs.counting.documents import cluster_sizes, measure_histograms
from spark_jobs.counting.ngrams import top_ngrams
from spark_jobs.counting.sums import sum_drops, sum_shards
from spark_jobs.counting.words import WordTotals, count_words, top_terms, top_words
from spark_jobs.shards import count_documents
from spark_jobs.tables import WrittenFile, parquet_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Frames(NamedTuple):
    """What Spark counts, all persisted: records read, documents marked as duplicates or not, documents kept."""

    records: DataFrame
    marked: DataFrame
    kept: DataFrame


class Statistics(NamedTuple):
    """The tables' files, the tokens of each split, and the totals of words where they are counted."""

    entries: list[FileEntry]
    tokens: dict[str, int]
    words: WordTotals | None


def write_statistics(
    frames: Frames, data: list[WrittenFile], ledger: list[WrittenFile], settings: Preprocess, directory: str
) -> Statistics:
    """Write every table below `stats/`."""
    tables, tokens = sum_shards(data)
    tables["drops"] = sum_drops(ledger)
    tables["cluster_sizes"] = cluster_sizes(frames.marked)
    tables["measures"] = measure_histograms(frames.records, measures_of(rules_of(settings.filters)))
    totals = None
    if settings.words.statistics:
        found, totals = _word_tables(frames.kept, count_documents(data), settings.words)
        tables.update(found)
    return Statistics([_write(name, table, directory) for name, table in tables.items()], tokens, totals)


def _word_tables(kept: DataFrame, documents: int, settings: Words) -> tuple[dict[str, pa.Table], WordTotals]:
    counted = count_words(kept, settings).persist()
    tables: dict[str, pa.Table] = {}
    tables["words"], totals = top_words(counted, settings.most_words)
    tables["top_terms"] = top_terms(counted, tables["words"], documents, settings.top_terms)
    counted.unpersist()
    vocabulary = tables["words"].column("word").combine_chunks()
    tables["ngrams"] = top_ngrams(kept, vocabulary, settings)
    return tables, totals


def _write(name: str, table: pa.Table, directory: str) -> FileEntry:
    content = parquet_bytes(table.combine_chunks(), rows_per_row_group=65_536)
    return write_file(directory, f"stats/{content_name(name, content, '.parquet')}", content, table.num_rows)
