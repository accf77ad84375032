"""Rows of the scores table as counts: of what they hold, by source, model and window of time. Exact integers.

What is counted of a row follows from the table's columns alone, so rows that were counted while they were scored and
rows that are counted again later give the same numbers. Counts of files add up to those of the table.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract.manifest import canonical_json
from mapring.watch.bins import Strings, interval_bins, length_bins, unknown_bins

_VERSION = 1  # of what is counted, and how
_MOMENT = pa.timestamp("us", tz="UTC")
_EARLIEST = (datetime.datetime.min - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
_MONDAY = datetime.datetime(1970, 1, 5, tzinfo=datetime.UTC)  # windows begin here: those of 7 days with a Monday
SCORE_EDGES = tuple(np.linspace(0, 1, 21).tolist())  # of probabilities, as in a model's reference

ROW, LABEL, SCORE, VALUE, LOSS = "row", "label", "score", "value", "loss"
TOKENS, UNKNOWN, LANGUAGE = "input_tokens", "unknown_share", "language"
ORDERED = frozenset({SCORE, VALUE, LOSS, TOKENS, UNKNOWN})
INPUTS = (TOKENS, UNKNOWN, LANGUAGE)  # of what was read
SCORED, WITHHELD, FAILED = "scored", "withheld", "failed"  # bins of rows

KEYS = ("source", "model_fingerprint", "window_start", "scored_at", "quantity", "bin")
COUNTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("model_fingerprint", pa.string(), nullable=False),
        pa.field("window_start", _MOMENT),  # null of rows without a time,
        pa.field("scored_at", _MOMENT),  # which have the moment of their scoring instead
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("bin", pa.string()),  # null of rows without a label
        pa.field("rows", pa.int64(), nullable=False),
    ]
)
_COLUMNS = (
    *("source", "model_fingerprint", "scored_at", "time", "error", "label", "score", "abstained", "labels", "value"),
    *("perplexity", "input_tokens", "unknown_tokens", "language", "group"),
)


@dataclass(frozen=True, kw_only=True)
class Counting:
    """How rows are counted: by windows of this length, and numbers by the edges that their model's reference has."""

    window: datetime.timedelta
    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by model; without any, numbers do not count
    by_group: bool = False  # whether labels are also counted by group, see `mapring.watch.groups`; beside all else

    def identity(self, models: Iterable[str]) -> str:
        """16 hex digits that tell it from other ways to count the rows of these models."""
        return hashlib.sha256(self.to_bytes(models)).hexdigest()[:16]

    def to_bytes(self, models: Iterable[str]) -> bytes:
        """What tells how rows of these models are counted."""
        edges = {model: list(self.edges[model]) for model in sorted(models) if model in self.edges}
        return canonical_json([_VERSION, self.window // datetime.timedelta(microseconds=1), edges])

    @classmethod
    def from_bytes(cls, content: bytes) -> Counting:
        """What `to_bytes` wrote. Raises ValueError where that is none, or of an older or newer mapring."""
        version, window, edges = json.loads(content)
        if version != _VERSION:
            raise ValueError(f"found version {version} of counts, expected {_VERSION}")
        return cls(window=datetime.timedelta(microseconds=window), edges=edges)


def columns_of(names: Iterable[str]) -> list[str]:
    """Those of a table's columns that are counted."""
    return [name for name in names if name in _COLUMNS]


def count_rows(table: pa.Table, counting: Counting) -> pa.Table:
    """Count the rows of a table, of which only `columns_of` is looked at; returns COUNTS, ordered.

    Every row is in a bin of ROW, and in one of LABEL, null where it has none; a row of several labels is in several. Of
    the other quantities rows are in none where there is no value.
    """
    table = table.combine_chunks()
    names, keys = set(table.column_names), row_keys(table, counting.window)
    parts = [_part(keys, ROW, _outcomes(table))]
    if "label" in names:
        parts.append(_part(keys, LABEL, table["label"], nulls=True))
        parts.append(_part(keys, SCORE, _binned(table["score"], partial(interval_bins, edges=SCORE_EDGES))))
    elif "labels" in names:
        places, labels = several_labels(table["labels"].combine_chunks())
        own = {name: pc.take(column, places) for name, column in keys.items()}
        parts.append(_part(own, LABEL, labels, nulls=True))
    elif "value" in names:
        parts += _numbers(keys, VALUE, table["value"], table["model_fingerprint"], counting.edges)
    elif "perplexity" in names:
        losses = pc.ln(table["perplexity"])
        parts += _numbers(keys, LOSS, losses, table["model_fingerprint"], counting.edges)
    if "input_tokens" in names:
        parts.append(_part(keys, TOKENS, _binned(table["input_tokens"], length_bins)))
        parts.append(_part(keys, UNKNOWN, _unknown(table["unknown_tokens"], table["input_tokens"])))
    if "language" in names:
        parts.append(_part(keys, LANGUAGE, table["language"]))
    return add_counts(parts)


def add_counts(parts: Sequence[pa.Table]) -> pa.Table:
    """The sum of several COUNTS, ordered, so that the same rows give the same table however they were divided."""
    if not parts:
        return COUNTS.empty_table()
    summed = pa.concat_tables(parts).group_by(list(KEYS)).aggregate([("rows", "sum")])
    return (
        summed.rename_columns([*KEYS, "rows"])
        .select(COUNTS.names)
        .cast(COUNTS)
        .sort_by([(name, "ascending") for name in KEYS])
    )


def label_counts(counts: pa.Table) -> pa.Table:
    """Rows by `source`, `window_start`, `label` (null of rows without one), `model_fingerprint`; of COUNTS."""
    found = counts.filter(pc.equal(counts["quantity"], LABEL))
    found = found.select(["source", "window_start", "bin", "model_fingerprint", "rows"])
    return found.rename_columns(["source", "window_start", "label", "model_fingerprint", "rows"])


def row_keys(table: pa.Table, window: datetime.timedelta) -> dict[str, pa.ChunkedArray]:
    """The columns that rows are told apart by: source, model, and window or else scoring."""
    starts = pa.nulls(table.num_rows, _MOMENT)
    if "time" in table.column_names:
        length = window // datetime.timedelta(microseconds=1)
        monday = int(_MONDAY.timestamp()) * 1_000_000
        times = table["time"].cast(_MOMENT).cast(pa.int64())
        numbers = (times.fill_null(0).to_numpy() - monday) // length * length + monday
        numbers = np.maximum(numbers, _EARLIEST)  # the first window of all began before there was a calendar
        starts = pa.array(numbers, pa.int64(), mask=times.is_null().to_numpy()).cast(_MOMENT)
    scored_at = pc.if_else(pc.is_null(starts), table["scored_at"].cast(_MOMENT), pa.scalar(None, _MOMENT))
    names = ("source", "model_fingerprint")
    return {**{name: table[name] for name in names}, "window_start": starts, "scored_at": scored_at}


def _part(
    keys: Mapping[str, pa.ChunkedArray], quantity: str, bins: pa.Array | pa.ChunkedArray, *, nulls: bool = False
) -> pa.Table:
    """The counts of one quantity, whose bin each row tells; rows that tell none are left out, unless nulls count."""
    rows = pa.table({**keys, "bin": bins})
    rows = rows if nulls else rows.filter(pc.is_valid(rows["bin"]))
    found = rows.group_by([*keys, "bin"]).aggregate([([], "count_all")])
    found = found.append_column("quantity", pa.repeat(quantity, found.num_rows))
    return found.rename_columns([*keys, "bin", "rows", "quantity"]).select(COUNTS.names).cast(COUNTS)


def _outcomes(table: pa.Table) -> pa.ChunkedArray:
    """What became of each row: scored, scored with its label withheld, failed."""
    withheld = table["abstained"].fill_null(False) if "abstained" in table.column_names else pa.scalar(False)
    return pc.if_else(pc.is_valid(table["error"]), FAILED, pc.if_else(withheld, WITHHELD, SCORED))


def several_labels(labels: pa.ListArray) -> tuple[pa.Array, pa.Array]:
    """Places of rows and each label that they have; null where a row has none."""
    rows = pc.list_parent_indices(labels)
    names = pc.struct_field(labels.flatten(), "label")
    without = pa.array(np.flatnonzero(pc.fill_null(pc.list_value_length(labels), 0).to_numpy() == 0))
    places = pa.concat_arrays([rows.cast(pa.int64()), without.cast(pa.int64())])
    return places, pa.concat_arrays([names, pa.nulls(len(without), pa.string())])


def _numbers(
    keys: Mapping[str, pa.ChunkedArray],
    quantity: str,
    values: pa.ChunkedArray,
    models: pa.ChunkedArray,
    edges: Mapping[str, Sequence[float]],
) -> list[pa.Table]:
    """Numbers in the intervals of the model that they are of; of a model without edges they do not count."""
    parts = []
    for model, own in sorted(edges.items()):
        mine = pc.if_else(pc.equal(models, model), values, pa.scalar(None, pa.float64()))
        parts.append(_part(keys, quantity, _binned(mine, partial(interval_bins, edges=own))))
    return parts


def _unknown(unknown: pa.ChunkedArray, tokens: pa.ChunkedArray) -> pa.Array:
    there = unknown.is_valid().to_numpy()
    bins = unknown_bins(unknown.fill_null(0).to_numpy()[there], tokens.fill_null(0).to_numpy()[there])
    return _scattered(bins, there)


def _binned(values: pa.ChunkedArray, bins: Callable[[npt.NDArray[Any]], Strings]) -> pa.Array:
    """The bin of each value, null where there is none."""
    there = values.is_valid().to_numpy()
    return _scattered(bins(values.drop_null().to_numpy()), there)


def _scattered(bins: Strings, there: npt.NDArray[np.bool_]) -> pa.Array:
    places = np.where(there, np.cumsum(there) - 1, 0)
    found = pa.array(bins.tolist(), pa.string())
    return pc.take(found, pa.array(places, mask=~there))
