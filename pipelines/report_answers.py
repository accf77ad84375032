"""Answers of a scoring as counts, of whatever mode: labels given, and values in bins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring.settings.combinations import ModeName

SCORE_BINS = 20
_COLUMNS: dict[ModeName, list[str]] = {  # what is read of the table
    "classify": ["label", "score", "abstained"],
    "answer": ["label", "score", "abstained"],
    "multilabel": ["labels"],
    "regression": ["value"],
    "perplexity": ["perplexity"],
    "embed": [],
    "retrieve": ["label", "score", "abstained"],
    "generate": [],
}
# With a score from 0 to 1; of a similarity what is below 0 counts in the first bin.
_ONE_LABEL = ("classify", "answer", "retrieve")
_REFERENCE = {"regression": "prediction", "perplexity": "loss"}  # the histogram that a model was published with


@dataclass
class AnswerCounts:
    """Rows by label, also in each bin of `edges`, which is one longer than `histogram`; empty where a mode has none."""

    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    edges: Sequence[float] = ()
    histogram: Sequence[int] = ()


def columns_of(mode: ModeName) -> list[str]:
    """The columns that `count_answers` reads."""
    return _COLUMNS[mode]


def count_answers(
    mode: ModeName, batches: Iterable[pa.RecordBatch], reference: Mapping[str, Any] | None
) -> AnswerCounts:
    """Count the answers in batches of the scores table.

    Args:
        mode: of the scoring.
        batches: with `columns_of(mode)`.
        reference: `training/reference.py`'s histograms, with whose edges numbers and losses (the logarithm of a
            perplexity) are counted; without one they are not.
    """
    found = AnswerCounts()
    edges = _edges(mode, reference)
    histogram = np.zeros(max(0, len(edges) - 1), np.int64)
    for batch in batches:
        if mode == "multilabel" or mode in _ONE_LABEL:
            _count_labels(mode, batch, found)
        if len(edges):
            column = batch.column("score" if mode in _ONE_LABEL else _COLUMNS[mode][0])
            values = column.drop_null().to_numpy(zero_copy_only=False)
            values = np.log(values) if mode == "perplexity" else values
            # As the reference counts: a bin holds its lower edge, what is outside counts in the first or last one.
            places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(histogram) - 1)
            histogram += np.bincount(places, minlength=len(histogram))
    found.edges, found.histogram = edges.tolist(), histogram.tolist()
    return found


def expected_answers(mode: ModeName, reference: Mapping[str, Any]) -> dict[str, int] | None:
    """What a model answered when it was published: of one label by label, of numbers by bin; None of other modes."""
    if mode in ("classify", "answer"):
        return {label: counts["answers"] for label, counts in reference["labels"].items()}
    if mode in _REFERENCE:
        return by_bin(reference[_REFERENCE[mode]]["counts"])
    return None


def by_bin(histogram: Sequence[int]) -> dict[str, int]:
    """Counts by the numbers of their bins."""
    return {str(number): count for number, count in enumerate(histogram)}


def _edges(mode: ModeName, reference: Mapping[str, Any] | None) -> npt.NDArray[np.float64]:
    if mode in _ONE_LABEL:
        return np.linspace(0, 1, SCORE_BINS + 1)
    if mode in _REFERENCE and reference is not None:
        return np.array(reference[_REFERENCE[mode]]["edges"])
    return np.zeros(0)


def _count_labels(mode: ModeName, batch: pa.RecordBatch, found: AnswerCounts) -> None:
    is_one = mode in _ONE_LABEL
    labels = batch.column("label") if is_one else pc.struct_field(batch.column("labels").flatten(), "label")
    for item in labels.drop_null().value_counts().to_pylist():
        found.labels[item["values"]] += item["counts"]
    if is_one:
        found.abstained += pc.sum(batch.column("abstained")).as_py() or 0
