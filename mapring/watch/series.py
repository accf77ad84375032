"""Counts of scored rows as one series for each source, or for each group of a source: windows by labels."""

from __future__ import annotations

import datetime
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract.manifest import canonical_json

COLUMNS = ("source", "window_start", "label", "model_fingerprint", "rows")
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, kw_only=True)
class Series:
    """The windows of a source, or of one `group` of it, that have rows, ascending.

    `starts` are datetime64[us] in UTC, `counts` (windows, labels), `rows` those of each window, also those without a
    label. `models` numbers the model of most of a window's rows in `model_names`; `is_mixed` where there are several.
    `without` are groups of the source whose rows are left out.
    """

    source: str
    group: str | None = None
    without: tuple[str, ...] = ()
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
    return [_series(part) for part in _parts(table, ("source",))]


def read_group_series(groups: pa.Table, least_rows: int) -> list[Series]:
    """The series of GROUPS, by name of source and group, of those groups that have so many rows in some window."""
    keys = ["source", "group"]
    sums = groups.group_by([*keys, "window_start"]).aggregate([("rows", "sum")])
    large = sums.filter(pc.field("rows_sum") >= least_rows).group_by(keys).aggregate([])
    return [_series(part) for part in _parts(groups.join(large, keys, join_type="left semi"), keys)]


def left_out(series: Series, groups: Sequence[Series]) -> Series:
    """The series of a source without the rows of some of its groups; windows in which none are left are gone."""
    counts, rows = series.counts.copy(), series.rows.copy()
    for group in groups:
        windows = np.searchsorted(series.starts, group.starts)
        labels = np.searchsorted(series.labels, group.labels)
        counts[np.ix_(windows, labels)] -= group.counts
        rows[windows] -= group.rows
    kept = rows > 0
    return replace(
        series,
        without=tuple(group.group for group in groups if group.group is not None),
        starts=series.starts[kept],
        counts=counts[kept],
        rows=rows[kept],
        models=series.models[kept],
        is_mixed=series.is_mixed[kept],
    )


def newest_start(series: Sequence[Series], now: datetime.datetime) -> datetime.datetime | None:
    """When the newest window of all sources begins that has begun by now."""
    present = np.datetime64(now.replace(tzinfo=None), "us")
    begun = [one.starts[one.starts <= present] for one in series]
    newest = max((starts[-1] for starts in begun if len(starts)), default=None)
    return None if newest is None else newest.item().replace(tzinfo=datetime.UTC)


def newest_ended(
    counts: pa.Table, length: datetime.timedelta, now: datetime.datetime
) -> dict[tuple[str, bool], datetime.datetime]:
    """When the newest window of each source begins that has ended by now; its newest scoring, of rows without a time.

    Args:
        counts: COUNTS.
        length: of a window.
        now: the time.

    Returns:
        By source, and whether its rows have a time: a source may have both kinds.
    """
    has_time = pc.is_valid(counts["window_start"])
    begin = pc.if_else(has_time, counts["window_start"], counts["scored_at"])
    end = pc.if_else(has_time, now - length, now)
    table = pa.table({"source": counts["source"], "has_time": has_time, "begin": begin})
    ended = table.filter(pc.less_equal(begin, end)).group_by(["source", "has_time"]).aggregate([("begin", "max")])
    return {(row["source"], row["has_time"]): row["begin_max"] for row in ended.to_pylist()}


def _parts(table: pa.Table, keys: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of each combination of keys, in the order of keys; none is looked through for another one."""
    table = table.sort_by([(name, "ascending") for name in keys]).combine_chunks()
    if not len(table):
        return
    codes = [table[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in keys]
    changes = np.flatnonzero(np.any([np.diff(code) != 0 for code in codes], axis=0)) + 1
    bounds = [0, *changes.tolist(), len(table)]
    for start, end in itertools.pairwise(bounds):
        yield table.slice(start, end - start)


def _series(table: pa.Table) -> Series:
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
        source=table["source"][0].as_py(),
        group=table["group"][0].as_py() if "group" in table.column_names else None,
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
