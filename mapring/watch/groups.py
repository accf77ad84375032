"""Rows of the scores table as counts of labels by group: a ticker, an author, a topic. Exact integers.

A group has a count for each of its windows, models and labels, so there are never more counts than scored rows, and all
of them are kept, however small: whether a group has volume enough in a window is only known of the sum over all files.
Rows without a group or a time count for their source alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring.watch.counting import Counting, row_keys, several_labels

KEYS = ("source", "group", "model_fingerprint", "window_start", "label")
GROUPS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("model_fingerprint", pa.string(), nullable=False),
        pa.field("window_start", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("label", pa.string()),  # null of rows without one
        pa.field("rows", pa.int64(), nullable=False),
    ]
)

Digests = dict[str, dict[np.datetime64, str]]
_Hashes = npt.NDArray[np.uint64]


def count_groups(table: pa.Table, counting: Counting) -> pa.Table:
    """Count the labels of a table's rows by group; returns GROUPS, ordered, and empty where rows have no labels."""
    names = set(table.column_names)
    if not {"group", "time"} <= names or not {"label", "labels"} & names:
        return GROUPS.empty_table()
    table = table.filter(pc.and_(pc.is_valid(table["group"]), pc.is_valid(table["time"]))).combine_chunks()
    keys = row_keys(table, counting.window)
    columns = {
        **{name: keys[name] for name in ("source", "model_fingerprint", "window_start")},
        "group": table["group"],
    }
    if "label" in names:
        columns["label"] = table["label"]
    else:
        places, labels = several_labels(table["labels"].combine_chunks())
        columns = {name: pc.take(column, places) for name, column in columns.items()}
        columns["label"] = labels
    rows = pa.table({**columns, "rows": pa.repeat(pa.scalar(1, pa.int64()), len(columns["label"]))})
    return add_groups([rows.select(GROUPS.names).cast(GROUPS)]).sort_by([(name, "ascending") for name in KEYS])


def add_groups(parts: Sequence[pa.Table]) -> pa.Table:
    """The sum of several GROUPS, in any order."""
    if not parts:
        return GROUPS.empty_table()
    summed = pa.concat_tables(parts).group_by(list(KEYS)).aggregate([("rows", "sum")])
    return summed.rename_columns([*KEYS, "rows"]).select(GROUPS.names).cast(GROUPS)


def group_digests(counts: pa.Table) -> Digests:
    """Of each source and window 16 hex digits that tell the GROUPS in it from any others, in whichever order.

    A sum of hashes, which takes a second for ten million counts; a hash over sorted ones would take a minute.
    """
    if not counts.num_rows:
        return {}
    counts = counts.combine_chunks()
    mixed = np.zeros(counts.num_rows, np.uint64)
    for name in ("group", "label", "model_fingerprint"):
        mixed = _mix(mixed ^ _hashes(counts[name]))
    mixed = _mix(mixed ^ counts["rows"].to_numpy().astype(np.uint64))
    sources = counts["source"].combine_chunks().dictionary_encode()
    starts, window = np.unique(counts["window_start"].cast(pa.int64()).to_numpy(), return_inverse=True)
    sums = np.zeros((len(sources.dictionary), len(starts)), np.uint64)
    is_there = np.zeros(sums.shape, np.bool_)
    place = sources.indices.to_numpy(), window
    np.add.at(sums, place, mixed)
    is_there[place] = True
    found: Digests = defaultdict(dict)
    for source, number in zip(*np.nonzero(is_there), strict=True):
        moment = starts[number].astype("datetime64[us]")
        found[sources.dictionary[int(source)].as_py()][moment] = f"{sums[source, number]:016x}"
    return dict(found)


def _hashes(column: pa.ChunkedArray) -> _Hashes:
    """64 bits of each text, the same ones on any machine; those of a null are no text's."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    texts = [b"\xff" if text is None else text.encode() for text in encoded.dictionary.to_pylist()]
    numbers = np.array([int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) for text in texts], np.uint64)
    result: _Hashes = numbers[encoded.indices.to_numpy()]
    return result


def _mix(values: _Hashes) -> _Hashes:
    """Every bit of a value on all bits of its result (the finalizer of SplitMix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: _Hashes = values ^ (values >> np.uint64(31))
    return result
