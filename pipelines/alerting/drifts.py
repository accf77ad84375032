"""Which drifts are news: one alert for a drift, however many windows it is found in."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

from mapring.watch.findings import Finding
from mapring.watch.surges import Extent


def new_drifts(
    drifts: Sequence[Finding], known: Sequence[Extent], since: datetime.datetime, quiet: datetime.timedelta
) -> tuple[list[Finding], tuple[Extent, ...]]:
    """Drifts that do not go on from one that is known, and how far all of them go.

    Args:
        drifts: what watching has found, of all windows.
        known: drifts of the log; `label` is the quantity.
        since: drifts of windows before it are not looked at.
        quiet: how long a drift must not have been found to be news again.
    """
    extents, found = list(known), []
    dated = [(drift.window_start, drift) for drift in drifts if drift.window_start is not None]
    for start, drift in sorted(dated, key=lambda pair: (pair[0], pair[1].quantity, pair[1].source or "")):
        if start < since:
            continue
        place = _place(extents, drift, start, quiet)
        if place is None:
            extents.append(Extent(source=drift.source or "", label=drift.quantity, start=start, last=start))
            found.append(drift)
        else:
            extents[place] = replace(extents[place], last=max(extents[place].last, start))
    return found, tuple(extents)


def _place(
    extents: Sequence[Extent], drift: Finding, start: datetime.datetime, quiet: datetime.timedelta
) -> int | None:
    """Which of the extents a drift belongs to."""
    for number, extent in enumerate(extents):
        is_own = (extent.source, extent.label) == (drift.source or "", drift.quantity)
        if is_own and extent.start - quiet <= start <= extent.last + quiet:
            return number
    return None
