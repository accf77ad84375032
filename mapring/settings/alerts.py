"""Settings of alerts: what counts as a surge, what is told of it, and to whom."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from mapring.settings.base import Section, execution
from mapring.settings.zones import known_zone

LEAST_WINDOWS = 5  # of a history that windows are judged by


class Surges(Section):
    """When a label's share in a window is a surge."""

    history_days: float = execution(
        28.0,
        description="Days before a window's day that its baseline is made from; half of them back counts half.",
        ge=2,
        le=400,
    )
    warm_up_days: float = execution(
        7.0,
        description="Days of history of a source or group, by one model, without which its windows are not judged.",
        ge=1,
    )
    minimum_rows: int = execution(
        100, description="Rows of a source, or of a group, in a window below which it is not judged.", ge=1
    )
    minimum_label_rows: int = execution(10, description="Rows of the label in a window that surges.", ge=1)
    minimum_ratio: float = execution(1.5, description="Least share of a surge, as a multiple of the expected.", ge=1)
    minimum_excess: float = execution(
        0.01, description="Least share of a surge above the expected one; 0.01 is one of a hundred rows.", ge=0, le=1
    )
    false_discovery_rate: float = execution(
        0.04,
        description="Share of false ones among alerts that is aimed at, over labels, sources, groups and windows.",
        gt=0,
        lt=1,
    )
    memory_days: float = execution(
        14.0,
        description="Days over which that share is meant: while nothing happens, so many false alerts are expected in "
        "them; an alert makes the windows after it less strict for as long.",
        ge=1,
    )
    cooldown_hours: float = execution(
        12.0, description="Hours without excess after which another surge of the label is a new alert.", ge=0
    )
    judge_days: float = execution(
        7.0, description="Days back from the newest window in which late rows are still judged.", ge=0
    )
    wait_minutes: float = execution(10.0, description="Minutes after its end until a window counts as complete.", ge=0)
    timezone: str = execution(
        "UTC", description="IANA name of the time zone whose hours and weekdays the seasons follow; windows are UTC."
    )
    hold_back: tuple[Literal["drift", "model"], ...] = execution(
        ("drift", "model"),
        description="What explains a surge, so that it is recorded and not sent: drift of the source's texts, or "
        "another model, in the window or shortly before.",
    )

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _history_holds_the_warm_up(self) -> Surges:
        if self.warm_up_days > self.history_days:
            raise ValueError(
                f"warm_up_days: found {self.warm_up_days:g}, expected at most history_days ({self.history_days:g})"
            )
        return self


class Webhook(Section):
    """An address that alerts are posted to, as JSON."""

    name: str = execution(
        description="Names the webhook in messages and in the records of what was delivered.",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )
    url: str | None = execution(None, description="Where to post to; http or https. Or name url_env.")
    url_env: str | None = execution(
        None, description="Environment variable that holds the URL, for URLs that are secret themselves."
    )
    secret_env: str | None = execution(
        None,
        description="Environment variable with the secret of the signature (HMAC-SHA256); none signs nothing.",
    )
    timeout_seconds: float = execution(10.0, description="Time in s that one attempt may take.", gt=0, le=600)
    attempts: int = execution(4, description="Attempts at an alert in one run; later runs go on.", ge=1, le=20)
    pause_seconds: float = execution(
        1.0, description="Pause in s before the second attempt; doubles with each, half of it drawn.", ge=0
    )
    seconds_per_run: float = execution(
        60.0,
        description="Time in s after which a run begins no further attempt; the rest waits for the next.",
        gt=0,
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> Webhook:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("expected one of url and url_env")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError("url: expected one that begins with http:// or https://")
        return self


class Alerts(Section):
    """What is sought in the counts of the scores, and who is told."""

    surges: Surges = execution(Surges(), description="Surges of labels.")
    drift: bool = execution(True, description="Whether findings of drift are alerts, too.")
    drift_quiet_hours: float = execution(
        168.0, description="Hours without a finding of a drift after which another one is a new alert.", ge=0
    )
    examples: int = execution(
        3,
        description="Texts of a surge in its alert, redacted, cut, read again from the inputs; 0 gives none.",
        ge=0,
        le=100,
    )
    example_characters: int = execution(200, description="Most characters of such a text.", ge=1, le=10_000)
    log_file: str | None = execution(None, description="Local file that gets a line for each alert; none writes none.")
    webhooks: tuple[Webhook, ...] = execution((), description="Addresses that alerts are posted to.")
    prometheus_file: str | None = execution(
        None, description="Local file in Prometheus' text format for node_exporter; its name ends in .prom."
    )
    openlineage: bool = execution(
        False, description="Whether alerts are also OpenLineage events; its client is configured as OpenLineage says."
    )
    pending_days: float = execution(
        7.0,
        description="Days after which an alert that was not delivered is given up, and that is recorded.",
        gt=0,
    )

    @field_validator("prometheus_file")
    @classmethod
    def _is_a_textfile(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(".prom"):
            raise ValueError(f"found {value!r}, expected a name that ends in .prom, or node_exporter passes over it")
        return value

    @field_validator("log_file", "prometheus_file")
    @classmethod
    def _is_local(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(f"found {value!r}, expected a local path")
        return value

    @model_validator(mode="after")
    def _names_are_their_own(self) -> Alerts:
        names = [hook.name for hook in self.webhooks]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"webhooks: found the name {repeated[0]!r} twice, expected a name of its own for each")
        return self
