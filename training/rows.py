"""Rows of shards as Python and NumPy hold them, and the Arrow columns that they are picked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.batches import Integers

NO_LABEL = -100  # what torch's cross entropy passes over by default
Ids = npt.NDArray[np.int32]
_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows.

    `input_ids` are int32 arrays of their own lengths, not padded; `label_ids` is int64 of shape (rows,), NO_LABEL
    where a row has none; `texts` is empty unless asked for. Rows of packed shards are sequences: `doc_ids` has their
    sequence ids, and `starts` (else empty) where each piece of a row begins: there positions restart and attention
    ends. The arrays are views: one that is kept keeps the whole row group that it was read with.
    """

    doc_ids: list[str]
    input_ids: list[Ids]
    label_ids: Integers
    texts: list[str]
    starts: list[Ids] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.doc_ids)


class Columns:
    """A table of shards, taken apart once: picking a row from Arrow's columns takes 30 times as long as from these.

    `lengths` are the rows' tokens, shape (rows,); `sources` their inputs, None where the column was not read.
    """

    def __init__(self, table: pa.Table) -> None:
        names = set(table.column_names)
        table = table.combine_chunks()
        self._doc_ids: list[str] = table["doc_id" if "doc_id" in names else "sequence_id"].to_pylist()
        labels = table["label_id"].fill_null(NO_LABEL).to_numpy() if "label_id" in names else NO_LABEL
        self._label_ids: Integers = np.full(len(table), labels, np.int64)
        self._input_ids = _Lists(table["input_ids"])
        self._texts = table["text"] if "text" in names else None
        self._starts = _Lists(table["starts"]) if "starts" in names else None
        self.lengths: Integers = np.diff(self._input_ids.bounds)
        self.sources = table["source"] if "source" in names else None

    def __len__(self) -> int:
        return len(self._doc_ids)

    def rows(self, places: Integers) -> Rows:
        """The rows at these places, in their order."""
        return Rows(
            doc_ids=[self._doc_ids[place] for place in places.tolist()],
            input_ids=self._input_ids.views(places),
            label_ids=self._label_ids[places],
            texts=[] if self._texts is None else self._texts.take(pa.array(places)).to_pylist(),
            starts=[] if self._starts is None else self._starts.views(places),
        )


def merged(parts: Sequence[Rows], order: Integers) -> Rows:
    """Rows of several parts, as indices into the rows of all parts one behind the other."""
    places = order.tolist()
    return Rows(
        doc_ids=_picked([part.doc_ids for part in parts], places),
        input_ids=_picked([part.input_ids for part in parts], places),
        label_ids=np.concatenate([part.label_ids for part in parts])[order],
        texts=_picked([part.texts for part in parts], places),
        starts=_picked([part.starts for part in parts], places),
    )


def _picked(lists: Sequence[list[_Item]], places: list[int]) -> list[_Item]:
    joined = list(chain.from_iterable(lists))
    return [joined[place] for place in places] if joined else []


class _Lists:
    """A column of lists as one array of all their values, and where each begins in it: `bounds`, shape (lists + 1,)."""

    def __init__(self, lists: pa.ChunkedArray) -> None:
        self._values: Ids = pc.list_flatten(lists).to_numpy()
        self.bounds: Integers = np.zeros(len(lists) + 1, np.int64)
        np.cumsum(pc.list_value_length(lists).to_numpy(), out=self.bounds[1:])

    def views(self, places: Integers) -> list[Ids]:
        """The lists at these places, without a copy."""
        begins, ends = self.bounds[places].tolist(), self.bounds[places + 1].tolist()
        return [self._values[begin:end] for begin, end in zip(begins, ends, strict=True)]
