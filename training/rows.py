"""Rows picked from the Arrow columns of shards, as NumPy and Python hold them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
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
    """Row groups of shards, taken apart once: picking every batch from Arrow's own columns took five times as long.

    `lengths` are the rows' tokens, shape (rows,); `sources` their inputs, None where that column was not read.
    `is_labelled` says of each row whether it has what its shards are labelled with: a label, a set of labels (which
    may be empty), or a target.
    """

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        table = pa.concat_tables(tables)
        names = set(table.column_names)
        self._doc_ids = table["doc_id" if "doc_id" in names else "sequence_id"]
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
        self.sources = table["source"].combine_chunks() if "source" in names else None

    def __len__(self) -> int:
        return len(self.label_ids)

    @cached_property
    def doc_ids(self) -> pa.StringArray:
        """Ids of the rows' documents, or the sequence ids of packed rows; joined when they are asked for."""
        return pa.concat_arrays(self._doc_ids.chunks or [pa.array([], self._doc_ids.type)])


class Picked(NamedTuple):
    """Rows of some columns: their places in them, shape (rows,)."""

    columns: Columns
    places: Integers

    def doc_ids(self) -> list[str]:
        """Ids of the rows' documents."""
        names: list[str] = self.columns.doc_ids.take(pa.array(self.places)).to_pylist()
        return names


class Rows(NamedTuple):
    """The columns of some rows; `texts`, `starts` and `label_sets` are empty where they were not read."""

    picked: Picked
    input_ids: list[Ids]
    label_ids: Integers
    texts: list[str]
    starts: list[Ids]
    label_sets: list[Ids]
    targets: Floats
    second_starts: Integers
    is_labelled: Booleans


def pick(columns: Columns, places: Integers) -> Rows:
    """The rows at these places, in this order."""
    return Rows(
        picked=Picked(columns, places),
        input_ids=columns.input_ids.views(places),
        label_ids=columns.label_ids[places],
        texts=columns.texts.take(pa.array(places)).to_pylist() if columns.texts else [],
        starts=columns.starts.views(places) if columns.starts else [],
        label_sets=columns.label_sets.views(places) if columns.label_sets else [],
        targets=columns.targets[places],
        second_starts=columns.second_starts[places],
        is_labelled=columns.is_labelled[places],
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
