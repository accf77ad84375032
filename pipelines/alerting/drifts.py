"""Which drifts are news: one alert for a drift, however many windows it is found in."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mapring.watch.extent import Extent
from mapring.watch.findings import Finding


def new_drifts(
    drifts: Sequence[Finding],
    known: Sequence[Extent],
    newest: Mapping[tuple[str, bool], datetime.datetime],
    *,
    back: datetime.timedelta,
    quiet: datetime.timedelta,
    length: datetime.timedelta,
) -> tuple[list[Finding], tuple[Extent, ...]]:
    """Drifts that do not go on from one that is known, and how far all of them go.

    Args:
        drifts: what watching has found, of all windows.
        known: drifts of the log; `label` is the quantity.
        newest: `newest_ended`; of each source drifts of windows that are long before its newest are not looked at.
        back: how long that is, but no shorter than a window.
        quiet: how long a drift must not have been found to be news again.
        length: of a window.
    """
    extents, found = list(known), []
    dated = [(drift.window_start, drift) for drift in drifts if drift.window_start is not None]
    for start, drift in sorted(dated, key=lambda pair: (pair[0], pair[1].quantity, pair[1].source or "")):
        last = newest.get((drift.source or "", drift.window_end is not None), start)
        if start < last - max(back, length):
            continue
        place = _place(extents, drift, start, length, quiet)
        if place is None:
            extents.append(Extent(source=drift.source or "", label=drift.quantity, start=start, last=start))
            found.append(drift)
        else:
            extents[place] = replace(extents[place], last=max(extents[place].last, start))
    return found, tuple(extents)


def _place(
    extents: Sequence[Extent],
    drift: Finding,
    start: datetime.datetime,
    length: datetime.timedelta,
    quiet: datetime.timedelta,
) -> int | None:
    """Which of the extents a drift belongs to."""
    for number, extent in enumerate(extents):
        is_own = (extent.source, extent.label) == (drift.source or "", drift.quantity)
        if is_own and extent.reaches(start, length, quiet):
            return number
    return None
