"""What was delivered to whom: a small file for each alert and sink, created once it has arrived.

    <run_dir>/alerts/delivered/<sink>/<id>.json

An alert of the log without that file is pending, so it is delivered by whichever run comes next. A kill between an
arrival and its file has the alert delivered again, with the same id.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mapring import storage
from mapring.contract.manifest import canonical_json
from mapring.errors import MapringError, in_one_line
from mapring.progress import say
from pipelines.alerting.records import Record
from pipelines.alerting.wording import sentence


class DeliveryError(MapringError):
    """A sink does not take alerts now."""


class Sink(Protocol):
    """Where alerts go; the name stands in file names."""

    @property
    def name(self) -> str:
        """Of the sink; changing it makes another sink of it."""

    def deliver(self, records: Sequence[Record], arrived: Callable[[Record], None]) -> None:
        """Deliver alerts, oldest first, and tell of each that has arrived.

        Raises:
            DeliveryError: those that follow must wait for the next run.
        """


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What became of the alerts of one sink; `error` is why some still wait."""

    sink: str
    arrived: int
    waiting: int
    error: str | None


def deliver(
    root: str, records: Sequence[Record], sinks: Sequence[Sink], now: datetime.datetime, pending: datetime.timedelta
) -> list[Delivered]:
    """Give each sink the alerts that it has not had; what fails with one sink concerns no other.

    Args:
        root: the folder of alerts.
        records: of the log.
        sinks: all of them.
        now: the time.
        pending: how old an alert may be to be delivered; older ones are given up, and that is recorded.
    """
    return [_deliver(root, records, sink, now, pending) for sink in sinks]


def waiting_for(root: str, records: Sequence[Record], sink: str) -> list[Record]:
    """The alerts that a sink has not had."""
    names = set(storage.list_names(storage.join(root, "delivered", sink)))
    return [record for record in records if record.status == "alert" and f"{record.id}.json" not in names]


def _deliver(
    root: str, records: Sequence[Record], sink: Sink, now: datetime.datetime, pending: datetime.timedelta
) -> Delivered:
    waiting = waiting_for(root, records, sink.name)
    for record in waiting:
        if now - record.recorded_at > pending:
            say("alerts", f"{sink.name}: given up after {pending.days} days: {sentence(record)}")
            _note(root, sink, record, "given up", now)
    fresh = [record for record in waiting if now - record.recorded_at <= pending]
    arrived: list[Record] = []

    def note(record: Record) -> None:
        _note(root, sink, record, "arrived", now)
        arrived.append(record)

    error = None
    try:
        if fresh:
            sink.deliver(fresh, note)
    except (MapringError, OSError, ValueError) as failure:
        error = in_one_line(failure)
        say("alerts", f"{sink.name}: {error}; {len(fresh) - len(arrived):,} alerts wait for the next run")
    return Delivered(sink=sink.name, arrived=len(arrived), waiting=len(fresh) - len(arrived), error=error)


def _note(root: str, sink: Sink, record: Record, state: str, now: datetime.datetime) -> None:
    content = canonical_json({"state": state, "at": now.isoformat(timespec="seconds")})
    storage.create(storage.join(root, "delivered", sink.name, f"{record.id}.json"), content)
