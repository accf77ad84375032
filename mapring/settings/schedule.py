"""Settings of scheduled runs: when, what, and what becomes of times that were missed or failed."""

from __future__ import annotations

import datetime
from typing import ClassVar, Literal

from cronsim import CronSim, CronSimError
from pydantic import field_validator, model_validator

from mapring.settings.base import Section, execution
from mapring.settings.zones import known_zone

_FIELDS = "minute hour day-of-month month day-of-week"
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ANY_MOMENT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


class Schedule(Section):
    """When `mapring schedule` runs, and what; nothing of it changes what is published."""

    text_key: ClassVar[str | None] = "cron"

    cron: str = execution(
        description=f"When to run, as crontab writes it ({_FIELDS}), or six fields with seconds in front; quote it."
    )
    timezone: str = execution(
        "UTC", description="IANA name of the time zone whose clocks cron means, such as Europe/Berlin."
    )
    command: Literal["score", "run"] = execution(
        "score",
        description="What is run: scoring (and rank), or all stages and the report, each where its output is missing.",
    )
    catch_up: Literal["latest", "all", "none"] = execution(
        "latest",
        description="Times that were missed, by a scheduler that was down or a run that took longer: latest is one "
        "run for all of them, all is one for each, oldest first, none passes them over.",
    )
    most_missed: int = execution(
        100, description="With catch_up=all, how many missed times are run at most; older ones are passed over.", ge=1
    )
    late_seconds: float = execution(
        60.0, description="With catch_up=none, how late in s a run may begin and is not missed.", gt=0
    )
    retries: int = execution(
        3, description="Further attempts at a run that failed, before its time counts as failed.", ge=0
    )
    retry_seconds: float = execution(
        60.0, description="Pause in s before the first further attempt; it doubles with each, up to an hour.", gt=0
    )
    grace_seconds: float = execution(
        20.0, description="Time in s that a running stage has to end, once it is told to stop; then it is killed.", gt=0
    )

    @field_validator("cron")
    @classmethod
    def _cron_is_five_fields(cls, value: str) -> str:
        hint = f"expected five fields ({_FIELDS}), such as '0 6 * * 1-5' for 6:00 from Monday to Friday"
        if value.strip().startswith("@"):
            written = _NICKNAMES.get(value.strip().lower())
            raise ValueError(f"found {value!r}, " + (f"write it as {written!r}" if written else hint))
        count = len(value.split())
        if count not in (5, 6):
            raise ValueError(f"found {count} fields in {value!r}, {hint}")
        try:
            next(CronSim(value, _ANY_MOMENT))
        except CronSimError as error:
            raise ValueError(f"found {value!r} ({str(error)[:1].lower()}{str(error)[1:]}), {hint}") from None
        except StopIteration:
            raise ValueError(f"found {value!r}, which does not come within fifty years; give another date") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _bounds_are_of_their_policy(self) -> Schedule:
        fields = type(self).model_fields
        for name, policy in (("most_missed", "all"), ("late_seconds", "none")):
            if self.catch_up != policy and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name}: found it with catch_up={self.catch_up}, which does not use it; remove it")
        return self
