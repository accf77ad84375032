"""Tables that are sums of what tasks counted while they wrote files: labels, lengths, sources, drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from mapring.contract.schemas import CHARACTER_COUNTS, DROP_COUNTS, LABEL_COUNTS, LENGTH_COUNTS, SOURCE_COUNTS
from mapring.settings import Input
from spark_jobs.splits import SPLITS
from spark_jobs.tables import WrittenFile

_COUNTS = ("documents", "tokens", "characters")

Rows = list[dict[str, Any]]


class Sums(NamedTuple):
    """Tables by name, and the tokens of each split."""

    tables: dict[str, pa.Table]
    tokens: dict[str, int]


def sum_shards(files: list[WrittenFile]) -> Sums:
    """`labels`, `sources`, `lengths` (in tokens) and `characters` of the documents in the shards."""
    by_label: dict[tuple[str, str, str | None], Counter[str]] = {}
    by_source: dict[tuple[str, str], Counter[str]] = {}
    lengths: Counter[tuple[str, int]] = Counter()
    characters: Counter[tuple[str, int]] = Counter()
    tokens: Counter[str] = Counter()
    for file in files:
        split = file.group.split("-")[0]
        for source, _, *counts in file.statistics["labels"]:
            counted = dict(zip(_COUNTS, counts, strict=True))
            by_source.setdefault((source, split), Counter()).update(counted)
            tokens[split] += counted["tokens"]
        for source, label, *counts in file.statistics.get("names", file.statistics["labels"]):
            by_label.setdefault((split, source, label), Counter()).update(dict(zip(_COUNTS, counts, strict=True)))
        for length, count in file.statistics["lengths"]:
            lengths[split, length] += count
        for lower, count in file.statistics["characters"]:
            characters[split, lower] += count
    label_rows: Rows = [
        {"split": split, "source": source, "label": label, **{name: sums[name] for name in ("documents", "tokens")}}
        for (split, source, label), sums in sorted(by_label.items(), key=lambda item: tuple(map(str, item[0])))
    ]
    source_rows: Rows = [{"source": key[0], "split": key[1], **sums} for key, sums in sorted(by_source.items())]
    length_rows: Rows = [{"split": key[0], "tokens": key[1], "documents": n} for key, n in sorted(lengths.items())]
    character_rows: Rows = [{"split": key[0], "lower": key[1], "documents": n} for key, n in sorted(characters.items())]
    tables = {
        "labels": pa.Table.from_pylist(label_rows, schema=LABEL_COUNTS),
        "sources": pa.Table.from_pylist(source_rows, schema=SOURCE_COUNTS),
        "lengths": pa.Table.from_pylist(length_rows, schema=LENGTH_COUNTS),
        "characters": pa.Table.from_pylist(character_rows, schema=CHARACTER_COUNTS),
    }
    return Sums(tables, dict(tokens))


def describe_sources(inputs: Sequence[Input], files: list[WrittenFile]) -> dict[str, Any]:
    """For the manifest: each input's sampling weight, and its kept documents in each split, as `rows`."""
    rows = {source.name: dict.fromkeys(SPLITS, 0) for source in inputs}
    for file in files:
        for source, _, documents, *_ in file.statistics["labels"]:
            rows[source][file.group.split("-")[0]] += documents
    return {source.name: {"weight": source.weight, "rows": rows[source.name]} for source in inputs}


def sum_drops(files: list[WrittenFile]) -> pa.Table:
    """Dropped records by rule and source, from the files of the ledger."""
    counted: Counter[tuple[str, str]] = Counter()
    for file in files:
        for rule, source, count in file.statistics["drops"]:
            counted[rule, source] += count
    rows: Rows = [{"rule": key[0], "source": key[1], "documents": n} for key, n in sorted(counted.items())]
    return pa.Table.from_pylist(rows, schema=DROP_COUNTS)
