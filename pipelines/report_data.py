"""The data card of the report, gathered from published shards: plain values, no markup.

Tables are read batch by batch and only in the columns needed, so that the report of a large run
needs no more memory than that of a small one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapring.contract import Manifest, is_published, read_manifest
from mapring.plan import Plan
from pipelines import plots
from pipelines.report_corpus import Corpus, draw_corpus, gather_corpus
from pipelines.report_tables import rows, rows_of_table

EXAMPLES = 5
_LENGTH_BINS = 32
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data card: counts, examples of what was dropped, labels by split and source, lengths."""

    manifest: Manifest
    examples: Mapping[str, Sequence[Mapping[str, Any]]]
    labels: Sequence[Mapping[str, Any]]
    lengths: Sequence[tuple[int, int, int]]  # shortest and longest number of tokens of a bin, documents
    corpus: Corpus


def gather_data(plan: Plan) -> Data | None:
    """The data card of a plan's shards; None where they are not published."""
    directory = plan.shards_directory
    if not is_published(directory):
        return None
    manifest = read_manifest(directory)
    by_split: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows_of_table(directory, manifest, "labels"):
        by_split.setdefault((row["split"], row["source"]), {"documents": {}})["documents"][row["label"]] = row[
            "documents"
        ]
    for row in rows_of_table(directory, manifest, "sources"):  # a document of several labels counts once
        by_split[row["split"], row["source"]].update(total=row["documents"], tokens=row["tokens"])
    lengths: Counter[int] = Counter()
    for row in rows_of_table(directory, manifest, "lengths"):
        lengths[row["tokens"]] += row["documents"]
    return Data(
        manifest=manifest,
        examples=_examples(directory, manifest),
        labels=[
            {"split": split, "source": source, **entry}
            for (split, source), entry in sorted(by_split.items(), key=lambda item: _SPLITS.index(item[0][0]))
        ],
        lengths=length_bins(lengths),
        corpus=gather_corpus(directory, manifest),
    )


def draw_data(data: Data) -> dict[str, str]:
    """SVG of `lengths`, and those of `draw_corpus`."""
    bars = [
        plots.Bar(str(low), count, f"{low if low == high else f'{low} to {high}'} tokens: {count:,} documents")
        for low, high, count in data.lengths
    ]
    drawn = plots.bar_chart(bars, title="Length of documents", x_label="tokens", y_label="documents")
    return {"lengths": drawn, **draw_corpus(data.corpus)}


def length_bins(lengths: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """Documents by number of tokens in at most 32 bins of equal width: shortest, longest, documents."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = math.ceil((high - low + 1) / _LENGTH_BINS)
    starts = range(low, high + 1, width)
    return [(s, s + width - 1, sum(lengths.get(n, 0) for n in range(s, s + width))) for s in starts]


def _examples(directory: str, manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """Up to 5 ledger rows of each rule; reading ends when every rule has its own."""
    counts: Mapping[str, int] = manifest.details["counts"]["dropped"]
    missing = {rule: min(EXAMPLES, count) for rule, count in counts.items()}
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(directory, [entry.path for entry in manifest.files_below("drops")]):
        if missing.get(row["rule"], 0):
            found[row["rule"]].append(row)
            missing[row["rule"]] -= 1
        if not any(missing.values()):
            break
    return dict(found)
