"""Made-up counts of groups, whose sum are the counts of their source."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from mapring.watch.groups import GROUPS
from tests.mapring.watch.counts import hours, table

Shares = Mapping[int, float]


def grouped(last: int, volumes: Mapping[str, int], surges: Mapping[str, Shares] | None = None) -> pa.Table:
    """GROUPS of the source `shop` up to an hour: rows an hour by group; shares of `rare` by group and hour."""
    rows = [
        {**one, "source": "shop", "group": group}
        for group, volume in volumes.items()
        for one in hours(last, (surges or {}).get(group), rows=volume, source=group)
        if one["rows"]
    ]
    return pa.Table.from_pylist(rows, GROUPS)


def of_sources(groups: pa.Table) -> pa.Table:
    """The counts of the sources that these groups make up."""
    return table(groups.drop_columns("group").to_pylist())
