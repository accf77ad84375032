"""Counts of scored rows as one series for each source: windows by labels."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract.manifest import canonical_json

COLUMNS = ("source", "window_start", "label", "model_fingerprint", "rows")
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, kw_only=True)
class Series:
    """The windows of a source that have rows, ascending.

    `starts` are datetime64[us] in UTC, `counts` (windows, labels), `rows` those of each window, also those without a
    label. `models` numbers the model of most of a window's rows in `model_names`; `is_mixed` where there are several.
    """

    source: str
    starts: Times
    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    models: npt.NDArray[np.int64]
    is_mixed: npt.NDArray[np.bool_]
    model_names: tuple[str, ...]

    def digest(self, window: int) -> str:
        """16 hex digits that tell a window's counts from any others."""
        counted = {label: int(count) for label, count in zip(self.labels, self.counts[window], strict=True) if count}
        model = [self.model_names[self.models[window]], bool(self.is_mixed[window])]
        return hashlib.sha256(canonical_json([counted, int(self.rows[window]), model])).hexdigest()[:16]


def read_series(counts: pa.Table) -> list[Series]:
    """The series of a table with `COLUMNS`, by name of source; windows and labels may stand in any order.

    Rows without a window cannot be placed and are left out.
    """
    table = counts.select(list(COLUMNS)).filter(
        pc.and_(pc.is_valid(counts["window_start"]), pc.greater(counts["rows"], 0))
    )
    table = table.combine_chunks()
    sources = table.column("source").to_pylist()
    return [_series(name, table.filter(pc.equal(table.column("source"), name))) for name in sorted(set(sources))]


def newest_start(series: Sequence[Series], now: datetime.datetime) -> datetime.datetime | None:
    """When the newest window of all sources begins that has begun by now."""
    present = np.datetime64(now.replace(tzinfo=None), "us")
    begun = [one.starts[one.starts <= present] for one in series]
    newest = max((starts[-1] for starts in begun if len(starts)), default=None)
    return None if newest is None else newest.item().replace(tzinfo=datetime.UTC)


def _series(name: str, table: pa.Table) -> Series:
    moments = table.column("window_start").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    starts, window = np.unique(moments, return_inverse=True)
    labels, label = _numbered(table.column("label"))
    models, model = _numbered(table.column("model_fingerprint"))
    rows = table.column("rows").to_numpy().astype(np.int64)
    counts = np.zeros((len(starts), len(labels)), np.int64)
    is_labelled = label >= 0
    np.add.at(counts, (window[is_labelled], label[is_labelled]), rows[is_labelled])
    by_model = np.zeros((len(starts), len(models)), np.int64)
    np.add.at(by_model, (window, model), rows)
    return Series(
        source=name,
        starts=starts.astype("datetime64[us]"),
        labels=labels,
        counts=counts,
        rows=by_model.sum(axis=1),
        models=by_model.argmax(axis=1),
        is_mixed=(by_model > 0).sum(axis=1) > 1,
        model_names=models,
    )


def _numbered(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Distinct values, sorted, and the number of each row's; -1 where it has none."""
    values = column.to_pylist()
    names = sorted({value for value in values if value is not None})
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([numbers.get(value, -1) for value in values], np.int64)
