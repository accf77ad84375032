"""Counts as series: of each source and model the windows that have rows, and each quantity in the reference's bins."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.watch.counting import LABEL, ORDERED, ROW, SCORED, WITHHELD
from mapring.watch.distances import Counts
from mapring.watch.reference import Reference

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, kw_only=True)
class CountSeries:
    """The counts of one source and model: of each quantity its bins, and rows by window (W, bins).

    `starts` (W,) are the windows' beginnings, or the moments of scorings where rows have no time, in microseconds.
    """

    source: str
    model: str
    has_time: bool
    starts: Counts
    counts: Mapping[str, tuple[Sequence[str | None], Counts]]

    @property
    def scored(self) -> int:
        """Rows that have an answer, also one that is withheld."""
        return int(sum(self.rows(ROW, name).sum() for name in (SCORED, WITHHELD)))

    def rows(self, quantity: str, name: str) -> Counts:
        """The rows (W,) in one bin of a quantity."""
        bins, rows = self.counts.get(quantity, ((), None))
        return np.zeros(len(self.starts), np.int64) if rows is None or name not in bins else rows[:, bins.index(name)]

    def before(self, now: datetime.datetime, length: datetime.timedelta) -> CountSeries:
        """Without the windows that end after a moment."""
        if not self.has_time:
            return self
        kept = self.starts <= microseconds(now - EPOCH) - microseconds(length)
        counts = {name: (bins, rows[kept]) for name, (bins, rows) in self.counts.items()}
        return replace(self, starts=self.starts[kept], counts=counts)


def count_series(counts: pa.Table) -> list[CountSeries]:
    """The series of COUNTS, by source and model; rows without a time are a series of their own."""
    counts = counts.combine_chunks()
    columns = {name: counts[name].to_numpy(zero_copy_only=False) for name in ("source", "model_fingerprint")}
    has_time = counts["window_start"].is_valid().to_numpy()
    moments = pc.coalesce(counts["window_start"], counts["scored_at"]).cast(pa.int64()).to_numpy()
    quantities, bins = (counts[name].to_pylist() for name in ("quantity", "bin"))
    rows = counts["rows"].to_numpy()
    places: defaultdict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(columns["source"], columns["model_fingerprint"], has_time.tolist(), strict=True)):
        places[key].append(place)
    found = []
    for (source, model, timed), own in sorted(places.items()):
        starts, window = np.unique(moments[own], return_inverse=True)
        cells: defaultdict[str, list[tuple[int, str | None, int]]] = defaultdict(list)
        for place, number in zip(own, window.tolist(), strict=True):
            cells[quantities[place]].append((number, bins[place], rows[place]))
        made = {name: _matrix(held, len(starts)) for name, held in cells.items()}
        found.append(CountSeries(source=source, model=model, has_time=timed, starts=starts, counts=made))
    return found


def _matrix(cells: Sequence[tuple[int, str | None, int]], windows: int) -> tuple[Sequence[str | None], Counts]:
    names = sorted({name for _, name, _ in cells}, key=lambda name: (name is None, name or ""))
    place = {name: number for number, name in enumerate(names)}
    rows = np.zeros((windows, len(names)), np.int64)
    for window, name, count in cells:
        rows[window, place[name]] += count
    return names, rows


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One quantity in the same bins: counts (k,) of the reference, and of windows (W, k)."""

    name: str
    is_ordered: bool
    bins: Sequence[str]
    expected: Counts
    found: Counts


def compared_with(series: CountSeries, reference: Reference) -> list[Compared]:
    """Each quantity that a reference has; of several labels a row each label is one, `label:NAME`."""
    compared = []
    for name, expected in reference.expected.items():
        if name == LABEL and reference.has_several:
            rows = series.rows(ROW, SCORED)
            for label, count in expected.items():
                given = series.rows(LABEL, label)
                compared.append(
                    Compared(
                        name=f"{LABEL}:{label}",
                        is_ordered=False,
                        bins=("given", "not given"),
                        expected=np.array([count, reference.rows - count]),
                        found=np.stack([given, rows - given], axis=1),
                    )
                )
            continue
        there = [found for found in series.counts.get(name, ((), None))[0] if found is not None]
        bins = sorted({*expected, *there}, key=float if name in ORDERED else str)
        compared.append(
            Compared(
                name=name,
                is_ordered=name in ORDERED,
                bins=bins,
                expected=np.array([expected.get(found, 0) for found in bins], np.int64),
                found=np.stack([series.rows(name, found) for found in bins], axis=1),
            )
        )
    return compared


def microseconds(length: datetime.timedelta) -> int:
    """A length of time as a whole number."""
    return length // datetime.timedelta(microseconds=1)
