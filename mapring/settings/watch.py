"""Settings of watching: how scored rows are counted, and what is called a drift."""

from __future__ import annotations

import datetime
import re

from pydantic import field_validator

from mapring.settings.base import Section, execution

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DAY = datetime.timedelta(days=1)


class Watch(Section):
    """What `mapring watch` looks at; nothing of it changes what is published."""

    window: str = execution(
        "1d",
        description="Length of the windows that rows with a time are counted in: minutes, hours or days, such as 15m, "
        "1h, 7d. They are those of UTC; several days begin with a Monday.",
    )
    by_group: bool = execution(
        False,
        description="Also count labels by group (group_column of score.inputs, or score.groups): alerts are sought in "
        "each group beside its source, and the report shows the largest ones.",
    )
    judged_windows: int = execution(
        800, description="Windows back from the newest that are judged; 744 hours are a month.", ge=1
    )
    season: str = execution(
        "1d",
        description="Time over which shorter windows are joined with those before them, so that the hours of a day, "
        "which differ, are no drift.",
    )
    minimum_rows: int = execution(
        500,
        description="Rows without which nothing is judged; where there are fewer, further windows are joined, or "
        "scorings, of rows without a time.",
        ge=2,
    )
    longest_join: str = execution(
        "7d", description="Longest time over which windows or scorings are joined; a season at least."
    )
    tolerated_drift: float = execution(
        0.02,
        description="Population stability index up to which a difference from the model's reference is no drift; less "
        "than 0.1 is usually read as stable.",
        ge=0,
        le=10,
    )
    false_alarms: float = execution(
        0.1,
        description="False alarms expected in 30 days in which nothing drifts by more than that, over all quantities "
        "together.",
        gt=0,
        le=10,
    )

    @field_validator("window", "season", "longest_join")
    @classmethod
    def _times_are_lengths(cls, value: str) -> str:
        length = _length(value)
        if not length or (length < _DAY and _DAY % length) or length > 366 * _DAY:
            raise ValueError(
                f"found {value!r}, expected minutes or hours that divide a day, or up to 366 days, such as 15m, 1h, 7d"
            )
        return value

    @property
    def window_length(self) -> datetime.timedelta:
        """The length of a window."""
        return _length(self.window)

    @property
    def season_length(self) -> datetime.timedelta:
        """The time over which shorter windows are joined."""
        return _length(self.season)

    @property
    def longest_length(self) -> datetime.timedelta:
        """The longest time over which windows are joined, at least a season."""
        return max(_length(self.longest_join), self.season_length)


def _length(text: str) -> datetime.timedelta:
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    return datetime.timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else datetime.timedelta()
