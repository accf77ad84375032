"""Alerts as OpenLineage events; the only home of its library, which is optional."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mapring.errors import SettingsError, in_one_line
from pipelines.alerting.delivery import DeliveryError
from pipelines.alerting.records import Record
from pipelines.alerting.wording import payload

_PRODUCER = "urn:mapring:alerts"
_NAMESPACE = "mapring"


@dataclass(frozen=True)
class LineageEvents:
    """An event of type OTHER for each alert; its run id is the alert's id, so a second one is of the same run."""

    scores: str
    client: Any
    name: str = "openlineage"

    def deliver(self, records: Sequence[Record], arrived: Callable[[Record], None]) -> None:
        """Emit events, as the library is configured."""
        for record in records:
            try:
                self.client.emit(make_event(record, self.scores))
            except Exception as error:  # of whichever transport is configured
                raise DeliveryError(
                    f"the event was not taken ({type(error).__name__}: {in_one_line(error)})"
                ) from error
            arrived(record)


def open_lineage(scores: str) -> LineageEvents:
    """The sink, with the library's own client, configured by openlineage.yml or OPENLINEAGE_* variables.

    Raises:
        SettingsError: the library is not installed.
    """
    if importlib.util.find_spec("openlineage") is None:
        raise SettingsError(
            "alerts.openlineage: found true, but openlineage-python is not installed; install mapring[openlineage], or "
            "remove the setting"
        )
    from openlineage.client import OpenLineageClient

    return LineageEvents(scores, OpenLineageClient())


def make_event(record: Record, scores: str) -> Any:
    """The event of an alert: the scores table is its input, a facet of the run has the whole record."""
    from openlineage.client.event_v2 import InputDataset, Job, Run, RunEvent, RunState
    from openlineage.client.generated.base import RunFacet

    facet = RunFacet(producer=_PRODUCER).with_additional_properties(**payload(record))
    return RunEvent(
        eventTime=record.recorded_at.isoformat(),
        producer=_PRODUCER,
        eventType=RunState.OTHER,
        run=Run(runId=str(uuid.UUID(record.id)), facets={"mapring_alert": cast(RunFacet, facet)}),
        job=Job(namespace=_NAMESPACE, name=f"{record.pipeline}.alerts"),
        inputs=[InputDataset(namespace=_NAMESPACE, name=scores)],
    )
