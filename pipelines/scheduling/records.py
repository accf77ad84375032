"""What a scheduler remembers: one small file for each finished time, created if absent and never overwritten.

    <run_dir>/schedule/times/2026-03-28/010000Z.json      a finished time, in the folder of its day
    <run_dir>/schedule/starts/<schedule>/<moment>.json    when a schedule was first seen; nothing before it is missed

Only the folders of the newest days are ever listed. A schedule is its cron and time zone, so a changed one counts from
when it was first seen, and does not make up for times before that.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mapring import storage
from mapring.contract.manifest import canonical_json
from mapring.settings.schedule import Schedule

State = Literal["done", "failed", "passed over"]

_DAY, _TIME = "%Y-%m-%d", "%H%M%SZ"
_MOMENT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished time; `missed` are the times before it that it stands for.

    `is_news` tells whether there was anything to do; `error` is the line that a user sees.
    """

    time: datetime.datetime
    state: State
    started: datetime.datetime
    finished: datetime.datetime
    missed: int = 0
    attempts: int = 0
    is_news: bool = False
    error: str | None = None

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return canonical_json({name: _plain(value) for name, value in vars(self).items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> Record:
        """As it was stored."""
        values: dict[str, Any] = json.loads(content)
        moments = {name: datetime.datetime.fromisoformat(values[name]) for name in ("time", "started", "finished")}
        return cls(**{**values, **moments})


def publish(root: str, record: Record) -> bool:
    """Create the file of a finished time; whether it was this call that did, and not another scheduler."""
    return storage.create(_uri(root, record.time), record.to_bytes())


def is_finished(root: str, time: datetime.datetime) -> bool:
    """Whether a time has its file."""
    return storage.exists(_uri(root, time))


def finished_times(root: str, until: datetime.datetime) -> Iterator[datetime.datetime]:
    """Finished times up to a moment, the newest first."""
    folder = storage.join(root, "times")
    for day in reversed(_names(folder)):
        if day > until.strftime(_DAY):
            continue  # a clock was ahead once
        for name in reversed(_names(storage.join(folder, day), ".json")):
            time = datetime.datetime.strptime(f"{day} {name}", f"{_DAY} {_TIME}").replace(tzinfo=datetime.UTC)
            if time <= until:
                yield time


def read_record(root: str, time: datetime.datetime) -> Record:
    """The record of a finished time. Raises FileNotFoundError where it is not finished."""
    return Record.from_bytes(storage.read_bytes(_uri(root, time)))


def remember_start(root: str, schedule: Schedule, now: datetime.datetime) -> datetime.datetime:
    """When a schedule was first seen, which is now where it was not seen before; to the second.

    Moments ahead of now are those of a clock that was wrong.
    """
    folder = _starts(root, schedule)
    known = first_start(root, schedule, now)
    if known is not None:
        return known
    storage.create(storage.join(folder, f"{now.strftime(_MOMENT)}.json"), canonical_json({"cron": schedule.cron}))
    return now.replace(microsecond=0)


def first_start(root: str, schedule: Schedule, now: datetime.datetime) -> datetime.datetime | None:
    """When a schedule was first seen, by now; None where it was not."""
    for name in _names(_starts(root, schedule), ".json"):
        moment = datetime.datetime.strptime(name, _MOMENT).replace(tzinfo=datetime.UTC)
        if moment <= now:
            return moment
    return None


def _starts(root: str, schedule: Schedule) -> str:
    digest = hashlib.sha256(canonical_json([schedule.cron.split(), schedule.timezone])).hexdigest()
    return storage.join(root, "starts", digest[:16])


def _uri(root: str, time: datetime.datetime) -> str:
    utc = time.astimezone(datetime.UTC)
    return storage.join(root, "times", utc.strftime(_DAY), f"{utc.strftime(_TIME)}.json")


def _names(folder: str, suffix: str = "") -> list[str]:
    """Names below a folder without what they end in, sorted; without files that are still being made."""
    names = storage.list_names(folder)
    return [name.removesuffix(suffix) for name in names if name.endswith(suffix) and not name.startswith(".")]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else value
