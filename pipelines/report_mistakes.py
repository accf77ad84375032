"""The worst mistakes of a model with the training rows most like them, for the report: texts read from the shards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest, is_published
from mapring.pairs import shown
from mapring.redaction import ORDER, redact
from pipelines.report_tables import rows

_MOST_LETTERS = 280  # of a text


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A document of the shards: `text` is the start of it, without personal data; None where it is not there."""

    doc_id: str
    source: str | None
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Near:
    """A training row beside a mistake."""

    excerpt: Excerpt
    label: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A mistake, as MISTAKE of `mapring.contract.schemas` has it, with texts."""

    excerpt: Excerpt
    split: str
    truth: str
    answer: str
    confidence: float | None
    loss: float
    neighbours: Sequence[Near]


def gather_mistakes(model_directory: str, manifest: Manifest, shards_directory: str) -> list[Wrong]:
    """The mistakes that a model was published with, the worst first; none of one that an earlier version published.

    Texts are read at their places in the shards, and all kinds of personal data are taken out of them, whatever the
    normalization did. Where the shards are gone, nothing is left of the texts.
    """
    path = manifest.details.get("mistakes")
    if path is None:
        return []
    found = list(rows(model_directory, [path]))
    documents = [*found, *(near for row in found for near in row["neighbours"])]
    excerpts = _excerpts(shards_directory, documents) if is_published(shards_directory) else {}
    return [
        Wrong(
            excerpt=_excerpt(row, excerpts),
            neighbours=[
                Near(excerpt=_excerpt(near, excerpts), label=near["label"], similarity=near["similarity"])
                for near in row["neighbours"]
            ],
            **{name: row[name] for name in ("split", "truth", "answer", "confidence", "loss")},
        )
        for row in found
    ]


def _excerpt(row: Mapping[str, Any], excerpts: Mapping[str, Excerpt]) -> Excerpt:
    return excerpts.get(row["doc_id"], Excerpt(doc_id=row["doc_id"], source=None, text=None))


def _excerpts(directory: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, Excerpt]:
    """The documents at their places; one that another document stands at the place of is left out."""
    by_path: defaultdict[str, set[int]] = defaultdict(set)
    for row in documents:
        by_path[row["path"]].add(row["row"])
    wanted, found = {row["doc_id"] for row in documents}, {}
    for path, places in by_path.items():
        table = _rows_at(storage.join(directory, path), sorted(places))
        texts = redact(table.column("text").combine_chunks(), ORDER).to_pylist()
        for doc_id, source, text in zip(
            table.column("doc_id").to_pylist(), table.column("source").to_pylist(), texts, strict=True
        ):
            if doc_id in wanted:
                found[doc_id] = Excerpt(doc_id=doc_id, source=source, text=_cut(shown(text)))
    return found


def _rows_at(uri: str, places: Sequence[int]) -> pa.Table:
    """Rows of a Parquet file by their numbers, of which only the row groups that hold them are read."""
    columns, first, found = ["doc_id", "source", "text"], 0, []
    with storage.open_read(uri) as handle:
        file = pq.ParquetFile(handle)
        for number in range(file.num_row_groups):
            rows_here = file.metadata.row_group(number).num_rows
            own = [place - first for place in places if first <= place < first + rows_here]
            if own:
                found.append(file.read_row_group(number, columns).take(own))
            first += rows_here
        empty = file.schema_arrow.empty_table().select(columns)
    return pa.concat_tables([empty, *found])


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS].rstrip()} …"
