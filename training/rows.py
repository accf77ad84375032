"""Rows picked from the Arrow columns of shards, as NumPy and Python hold them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.batches import Integers

NO_LABEL = -100  # what torch's cross entropy passes over by default
NO_PAIR = -1
Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class Columns:
    """A table of shards, taken apart once: picking every batch from Arrow's own columns took five times as long.

    `doc_ids` are those of the rows, or the sequence ids of packed ones; `lengths` their tokens, shape (rows,);
    `sources` their inputs, None where that column was not read. `is_labelled` says of each row whether it has what
    its shards are labelled with: a label, a set of labels (which may be empty), or a target.
    """

    def __init__(self, table: pa.Table) -> None:
        names = set(table.column_names)
        table = table.combine_chunks()
        self.doc_ids: pa.Array = pa.concat_arrays(_chunks(table["doc_id" if "doc_id" in names else "sequence_id"]))
        labels = table["label_id"].fill_null(NO_LABEL).to_numpy() if "label_id" in names else NO_LABEL
        self.label_ids: Integers = np.full(len(table), labels, np.int64)
        self.label_sets = _Lists(table["label_ids"]) if "label_ids" in names else None
        targets = table["target"].fill_null(np.nan).to_numpy() if "target" in names else np.nan
        self.targets: Floats = np.full(len(table), targets, np.float64)
        second_starts = table["second_start"].to_numpy() if "second_start" in names else NO_PAIR
        self.second_starts: Integers = np.full(len(table), second_starts, np.int64)
        if self.label_sets is not None:
            self.is_labelled: Booleans = table["label_ids"].is_valid().to_numpy()
        else:
            self.is_labelled = (self.label_ids != NO_LABEL) | ~np.isnan(self.targets)
        self.input_ids = _Lists(table["input_ids"])
        self.texts = table["text"] if "text" in names else None
        self.starts = _Lists(table["starts"]) if "starts" in names else None
        self.lengths: Integers = np.diff(self.input_ids.bounds)
        self.sources = table["source"] if "source" in names else None

    def __len__(self) -> int:
        return len(self.label_ids)


class Picked(NamedTuple):
    """Rows of one table: their places in it, shape (rows,)."""

    columns: Columns
    places: Integers


class Rows(NamedTuple):
    """The columns of some rows; `texts`, `starts` and `label_sets` are empty where they were not read."""

    doc_ids: pa.Array
    input_ids: list[Ids]
    label_ids: Integers
    texts: list[str]
    starts: list[Ids]
    label_sets: list[Ids]
    targets: Floats
    second_starts: Integers
    is_labelled: Booleans


def gather(parts: Sequence[Picked], order: Integers) -> Rows:
    """Rows of several tables in one order, given as indices into the picked rows, one part behind the other."""
    before = np.cumsum([0, *(len(part.columns) for part in parts)])
    places = np.concatenate([first + part.places for first, part in zip(before, parts, strict=False)])[order]
    turns = order.tolist()
    views = list(chain.from_iterable(columns.input_ids.views(places) for columns, places in parts))
    starts = list(chain.from_iterable(columns.starts.views(places) for columns, places in parts if columns.starts))
    sets = list(
        chain.from_iterable(columns.label_sets.views(places) for columns, places in parts if columns.label_sets)
    )
    texts = list(
        chain.from_iterable(columns.texts.take(pa.array(places)) for columns, places in parts if columns.texts)
    )
    return Rows(
        doc_ids=pa.concat_arrays([part.columns.doc_ids for part in parts]).take(pa.array(places)),
        input_ids=[views[turn] for turn in turns],
        label_ids=np.concatenate([columns.label_ids[places] for columns, places in parts])[order],
        texts=[texts[turn].as_py() for turn in turns] if texts else [],
        starts=[starts[turn] for turn in turns] if starts else [],
        label_sets=[sets[turn] for turn in turns] if sets else [],
        targets=np.concatenate([columns.targets[places] for columns, places in parts])[order],
        second_starts=np.concatenate([columns.second_starts[places] for columns, places in parts])[order],
        is_labelled=np.concatenate([columns.is_labelled[places] for columns, places in parts])[order],
    )


class _Lists:
    """A column of lists as one array of all their values, and where each begins in it: `bounds`, shape (lists + 1,).

    A null is an empty list.
    """

    def __init__(self, lists: pa.ChunkedArray) -> None:
        self._values: Ids = pc.list_flatten(lists).to_numpy()
        self.bounds: Integers = np.zeros(len(lists) + 1, np.int64)
        np.cumsum(pc.list_value_length(lists).fill_null(0).to_numpy(), out=self.bounds[1:])

    def views(self, places: Integers) -> list[Ids]:
        """The lists at these places, without a copy."""
        begins, ends = self.bounds[places].tolist(), self.bounds[places + 1].tolist()
        return [self._values[begin:end] for begin, end in zip(begins, ends, strict=True)]


def _chunks(column: pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks or [pa.array([], column.type)]
