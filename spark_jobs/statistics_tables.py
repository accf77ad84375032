"""The stats/ tables of published shards: integer sums of what the tasks counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from mapring.contract import FileEntry, content_name, write_file
from mapring.contract.schemas import LABEL_COUNTS, LENGTH_COUNTS
from spark_jobs.tables import WrittenFile, parquet_bytes


def write_statistics(files: list[WrittenFile], directory: str) -> tuple[list[FileEntry], dict[str, int]]:
    """Write `stats/labels` and `stats/lengths`; also return the tokens in each split."""
    documents: Counter[tuple[str, str, str]] = Counter()
    tokens: Counter[tuple[str, str, str]] = Counter()
    lengths: Counter[tuple[str, int]] = Counter()
    for file in files:
        split = file.group.split("-")[0]
        for source, label, count, token_count in file.statistics["labels"]:
            documents[split, source, label] += count
            tokens[split, source, label] += token_count
        for length, count in file.statistics["lengths"]:
            lengths[split, length] += count
    label_rows = [
        {"split": split, "source": source, "label": label, "documents": count, "tokens": tokens[split, source, label]}
        for (split, source, label), count in sorted(documents.items(), key=lambda item: tuple(map(str, item[0])))
    ]
    length_rows = [
        {"split": split, "tokens": length, "documents": count} for (split, length), count in sorted(lengths.items())
    ]
    entries = [
        _write("labels", label_rows, LABEL_COUNTS, directory),
        _write("lengths", length_rows, LENGTH_COUNTS, directory),
    ]
    by_split: Counter[str] = Counter()
    for (split, _, _), count in tokens.items():
        by_split[split] += count
    return entries, dict(by_split)


def _write(name: str, rows: list[dict[str, Any]], schema: pa.Schema, directory: str) -> FileEntry:
    content = parquet_bytes(pa.Table.from_pylist(rows, schema=schema), rows_per_row_group=65_536)
    return write_file(directory, f"stats/{content_name(name, content, '.parquet')}", content, len(rows))
