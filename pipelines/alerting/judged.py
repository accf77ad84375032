"""Which windows have been judged, by which counts, and how far the surges of these days go: one file.

    <run_dir>/alerts/judged.json

It saves work and is trusted with nothing: where it is lost or older than it should be, its windows are judged again,
which finds the surges that are in the log.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mapring import storage
from mapring.contract.manifest import canonical_json
from mapring.progress import say
from mapring.settings.alerts import Surges
from mapring.watch.baseline import POOLS
from mapring.watch.extent import Extent
from mapring.watch.groups import Digests
from mapring.watch.series import Series
from pipelines.alerting.records import Record

_LATER = max(POOLS)  # windows that a window is judged in


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Digests of windows by source and start; extents of surges, and of drifts (whose label is the quantity).

    `groups` are digests of all groups of a source and window together; none where labels are not counted by group.
    """

    windows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    surges: tuple[Extent, ...] = ()
    drifts: tuple[Extent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Due:
    """The windows to judge, by source, and what is remembered once that is done.

    `too_late` windows have changed so long ago that they are not judged, `ahead` ones begin after now.
    """

    windows: Mapping[str, frozenset[np.datetime64]]
    digests: Mapping[str, Mapping[str, str]]
    groups: Mapping[str, Mapping[str, str]]
    too_late: int
    ahead: int


def read_judged(root: str) -> Judged:
    """What is remembered; nothing where there is nothing that can be read."""
    uri = storage.join(root, "judged.json")
    try:
        values = json.loads(storage.read_bytes(uri))
        return Judged(
            windows=values["windows"],
            groups=values.get("groups", {}),
            surges=tuple(map(_extent, values["surges"])),
            drifts=tuple(map(_extent, values["drifts"])),
        )
    except FileNotFoundError:
        return Judged()
    except (ValueError, TypeError, KeyError) as error:
        say("alerts", f"{uri}: cannot be read ({error}); its windows are judged again")
        return Judged()


def write_judged(root: str, judged: Judged) -> None:
    """Remember; extents that ended before the oldest window that is remembered are left out."""
    starts = [start for windows in judged.windows.values() for start in windows]
    oldest = datetime.datetime.fromisoformat(min(starts)) if starts else None
    values: dict[str, Any] = {
        "windows": judged.windows,
        "surges": [_stored(extent) for extent in judged.surges if oldest is None or extent.last >= oldest],
        "drifts": [_stored(extent) for extent in judged.drifts],
    }
    if judged.groups:
        values["groups"] = judged.groups
    storage.replace(storage.join(root, "judged.json"), canonical_json(values))


def windows_due(
    series: Sequence[Series],
    judged: Judged,
    settings: Surges,
    length: datetime.timedelta,
    now: datetime.datetime,
    groups: Digests | None = None,
) -> Due:
    """Complete windows whose counts are not those that they were judged by, and those that are judged with them.

    A window is complete when it and `wait_minutes` are over. Of each source those within `judge_days` of its newest
    complete one are judged; counts of older ones are only remembered. `series` are those of sources; `groups` tell
    whether counts of their groups have changed, None where these are not judged.
    """
    step = np.timedelta64(length)
    last = np.datetime64((now - length - datetime.timedelta(minutes=settings.wait_minutes)).replace(tzinfo=None), "us")
    present = np.datetime64(now.replace(tzinfo=None), "us")
    known = {start for one in series for start in one.starts if start <= last}
    windows: dict[str, frozenset[np.datetime64]] = {}
    digests: dict[str, dict[str, str]] = {}
    of_groups: dict[str, dict[str, str]] = {}
    late: set[tuple[str, np.datetime64]] = set()
    ahead = 0
    for one in series:
        ahead += int((one.starts > present).sum())
        complete = np.flatnonzero(one.starts <= last)
        if not len(complete):
            continue
        newest = one.starts[complete[-1]]
        judged_from = newest - np.timedelta64(round(settings.judge_days * 86_400), "s")
        remembered_from = newest - np.timedelta64(round(settings.history_days * 86_400), "s")
        places = complete[one.starts[complete] >= min(judged_from, remembered_from)]
        counted = {one.starts[place]: one.digest(int(place)) for place in places}
        looks = [(counted, judged.windows.get(one.source), digests)]
        if groups is not None:
            own = groups.get(one.source, {})
            looks.append(({start: own.get(start, "") for start in counted}, judged.groups.get(one.source), of_groups))
        due: set[np.datetime64] = set()
        for now_counted, before, kept in looks:
            kept[one.source] = {_key(start): digest for start, digest in now_counted.items()}
            changed = [start for start, digest in now_counted.items() if (before or {}).get(_key(start)) != digest]
            due |= {start + number * step for start in changed if start >= judged_from for number in range(_LATER)}
            late |= {(one.source, start) for start in changed if start < judged_from and before is not None}
        windows[one.source] = frozenset(due & known)
    return Due(windows=windows, digests=digests, groups=of_groups, too_late=len(late), ahead=ahead)


def extents_of(
    records: Sequence[Record], judged: Sequence[Extent], kind: str, length: datetime.timedelta
) -> list[Extent]:
    """Surges, or drifts, as far as they are known: those of the log, and how far they have gone since."""
    lasts = {(extent.key, extent.start): extent.last for extent in judged}
    found = []
    for record in records:
        if record.kind != kind or record.window_start is None:
            continue
        key = record.source or "", record.group, record.quantity
        first = (
            record.window_start if record.window_end is None else max(record.window_start, record.window_end - length)
        )
        last = max(first, lasts.get((key, record.window_start), first))
        found.append(Extent(source=key[0], group=key[1], label=key[2], start=record.window_start, last=last))
    return found


def _key(start: np.datetime64) -> str:
    return f"{start.astype('datetime64[s]')}Z"


def _stored(extent: Extent) -> dict[str, str]:
    values = {name: value for name, value in vars(extent).items() if value is not None}
    return {name: value if isinstance(value, str) else value.isoformat() for name, value in values.items()}


def _extent(values: Mapping[str, Any]) -> Extent:
    moments = {name: datetime.datetime.fromisoformat(values[name]) for name in ("start", "last")}
    return Extent(source=values["source"], group=values.get("group"), label=values["label"], **moments)
