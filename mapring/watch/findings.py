"""What watching tells of a window or a scoring: one finding, whatever found it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A quantity that is not as it was expected; of a whole source, or of one `group` of it.

    `window_start` and `window_end` bound the rows, whose time is at or after the first and before the second, in UTC.
    Rows without a time are judged scoring by scoring: then `window_start` is the moment of the scoring, `scored_at` of
    its rows, and `window_end` is None.

    Of a drift, `observed` is the population stability index, `expected` the one that is tolerated, and `statistic` the
    G that was tested. `q_value` is the p-value corrected for all that was tested beside it. `rows` are those that were
    judged.
    """

    kind: Literal["drift", "surge"]
    quantity: str
    source: str | None
    group: str | None = None
    window_start: datetime.datetime | None
    window_end: datetime.datetime | None
    observed: float
    expected: float
    statistic: float
    q_value: float
    rows: int
    model_fingerprint: str
