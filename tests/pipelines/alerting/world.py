"""Alerts of made-up counts in a folder, with a clock that is turned by hand."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mapring.settings.alerts import Alerts, Surges, Webhook
from mapring.watch.findings import Finding
from mapring.watch.series import newest_ended
from pipelines.alerting.alerting import Alerting
from pipelines.alerting.delivery import Sink
from pipelines.alerting.evidence import Evidence
from pipelines.alerting.examples import Examples
from pipelines.alerting.log_file import LogFile
from pipelines.alerting.records import Record, read_log
from pipelines.alerting.webhook import WebhookSink
from tests.mapring.watch.counts import HOUR, START, hours, table
from tests.pipelines.scheduling.world import FakeClock

SURGE = range(24 * 9, 24 * 9 + 5)  # hours in which the label `rare` surges
CALM, SURGED = hours(24 * 10), hours(24 * 10, dict.fromkeys(SURGE, 0.3))
NOON = 24 * 9 + 12  # after the surge


class Ground(NamedTuple):
    """A folder of its own."""

    own: Path


class World:
    """One pipeline's alerts; `rows` are the counts of all hours, of which those before `hour` have been scored."""

    def __init__(self, ground: Ground, rows: list[dict[str, object]] | None = None, hour: int = NOON) -> None:
        self.folder = ground.own
        self.rows = SURGED if rows is None else rows
        self.clock = FakeClock()
        self.at(hour)
        self.settings = Alerts(surges=Surges(judge_days=1))
        self.drifts: tuple[Finding, ...] = ()
        self.sinks: list[Sink] = [LogFile(str(self.folder / "alerts.log"))]
        self.extra: list[dict[str, object]] = []

    def at(self, hour: float) -> World:
        """Turn the clock to a quarter past an hour; files up to it have come."""
        self.hour = hour
        self.clock.time = START + hour * HOUR + HOUR / 4
        return self

    def add_webhook(self, url: str, secret: bytes | None = b"key", **settings: object) -> World:
        """One more sink."""
        hook = Webhook.model_validate({"name": "desk", "url": url, "timeout_seconds": 5, **settings})
        self.sinks.append(WebhookSink(hook, self.clock, url, secret, draw=lambda: 0.5))
        return self

    def alerting(self) -> Alerting:
        """A process of its own."""
        return Alerting(
            pipeline="reviews",
            root=str(self.folder / "alerts"),
            settings=self.settings,
            length=HOUR,
            clock=self.clock,
            gather=self._gather,
            examples=lambda _finding, most, _characters: Examples(("a <email>",)[:most], None),
            sinks=self.sinks,
        )

    def look(self) -> World:
        """One run of `mapring alerts`."""
        self.alerting().look()
        return self

    def log(self) -> list[Record]:
        """All that was recorded."""
        return read_log(str(self.folder / "alerts"))

    def lines(self) -> list[str]:
        """Of the log file."""
        path = self.folder / "alerts.log"
        return path.read_text().splitlines() if path.exists() else []

    def _gather(self) -> Evidence:
        counts = self._counts()
        return Evidence(counts=counts, newest=self.newest(counts), drifts=self.drifts)

    def newest(self, counts: pa.Table) -> dict[tuple[str, bool], datetime.datetime]:
        """The newest windows that have ended."""
        counts = counts.append_column("scored_at", pa.nulls(len(counts), pa.timestamp("us", "UTC")))
        return newest_ended(counts, HOUR, self.clock.now())

    def _counts(self) -> pa.Table:
        end = START + self.hour * HOUR
        return table([one for one in [*self.rows, *self.extra] if one["window_start"] < end])  # type: ignore[operator]
