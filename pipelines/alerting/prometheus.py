"""Alerts as numbers, in Prometheus' text format, for node_exporter's textfile collector."""

from __future__ import annotations

import datetime
from collections import Counter as Counts
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mapring import storage
from pipelines.alerting.records import Record


def write_textfile(
    path: str, pipeline: str, records: Sequence[Record], waiting: Mapping[str, int], now: datetime.datetime
) -> None:
    """Write the file whole, so that a reader never finds a part of it.

    Args:
        path: of the file.
        pipeline: a label of all numbers, so that several pipelines can have files side by side.
        records: of the log; counters are those of the whole log and fall only where it is moved away.
        waiting: alerts that each sink still has to get.
        now: when alerts were last looked for.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(pipeline, records, waiting, now))
    storage.replace(path, generate_latest(registry))


class _Numbers(Collector):
    def __init__(
        self, pipeline: str, records: Sequence[Record], waiting: Mapping[str, int], now: datetime.datetime
    ) -> None:
        self._pipeline, self._records, self._waiting, self._now = pipeline, records, waiting, now

    def collect(self) -> list[Metric]:
        """All numbers."""
        names = ("pipeline", "kind", "source", "quantity", "status", "group")
        total = CounterMetricFamily("mapring_alerts", "Alerts found, by what became of them.", labels=names)
        newest = GaugeMetricFamily(
            "mapring_alert_window_end_seconds", "End of the newest alert's window, Unix time.", labels=names
        )
        keys = [_labels(self._pipeline, record) for record in self._records]
        for key, count in sorted(Counts(keys).items()):
            total.add_metric(key, count)
            moments = [
                record.window_end or record.window_start
                for record, own in zip(self._records, keys, strict=True)
                if own == key
            ]
            told = [moment.timestamp() for moment in moments if moment is not None]
            if told:
                newest.add_metric(key, max(told))
        pending = GaugeMetricFamily(
            "mapring_alerts_pending", "Alerts that a sink has not had yet.", labels=("pipeline", "sink")
        )
        for sink, count in sorted(self._waiting.items()):
            pending.add_metric((self._pipeline, sink), count)
        looked = GaugeMetricFamily(
            "mapring_alerts_looked_seconds", "Last look that succeeded, Unix time.", labels=("pipeline",)
        )
        looked.add_metric((self._pipeline,), self._now.timestamp())
        return [total, newest, pending, looked]


def _labels(pipeline: str, record: Record) -> tuple[str, ...]:
    """What a record counts by; an empty group is to Prometheus no label at all."""
    status = record.status.replace(" ", "_")
    return pipeline, record.kind, record.source or "", record.quantity, status, record.group or ""
