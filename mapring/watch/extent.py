"""How far a surge, or a drift, is known to go: what goes on from it is no news."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

Key = tuple[str, str | None, str]  # source, group, label or quantity


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A surge of a label, or a drift of a quantity, as far as it is known: the starts of its first and last window."""

    source: str
    group: str | None = None
    label: str
    start: datetime.datetime
    last: datetime.datetime

    @property
    def key(self) -> Key:
        """What surges, or drifts."""
        return self.source, self.group, self.label

    def reaches(self, moment: datetime.datetime, length: datetime.timedelta, quiet: datetime.timedelta) -> bool:
        """Whether a window that begins at a moment belongs to it.

        So it is where less than `quiet` lies between the end of one and the begin of the other, and always where they
        touch: windows of a day touch whatever the cooldown.
        """
        gap = max(moment - (self.last + length), self.start - (moment + length))
        return gap <= datetime.timedelta(0) or gap < quiet
