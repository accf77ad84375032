"""`mapring alerts`: look for surges and drifts in what is scored, record them, tell who is to be told."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from mapring import storage
from mapring.errors import MapringError, SettingsError, in_one_line
from mapring.progress import say
from mapring.run_directory import RunDirectory
from mapring.settings import Settings, load_settings
from mapring.settings.alerts import Alerts
from pipelines.alerting.alerting import Alerting, Found
from pipelines.alerting.delivery import Sink
from pipelines.alerting.evidence import gather
from pipelines.alerting.examples import examples_of
from pipelines.alerting.lineage_events import open_lineage
from pipelines.alerting.log_file import LogFile
from pipelines.alerting.webhook import open_webhook
from pipelines.alerting.wording import sentence
from pipelines.scheduling.lease import Lease
from pipelines.scheduling.stopping import Clock, SystemClock
from pipelines.tables import PlainTable

_LOOK_SECONDS = 5.0  # at the work of another run
_PATIENCE_SECONDS = 150.0  # with it; a dead one is known after 60
_ATTEMPTS = 3  # of what a schedule starts after a scoring
_PAUSE_SECONDS = 5.0


def alerts(config: str, overrides: Sequence[str], *, dry_run: bool = False) -> None:
    """Look for alerts once; with `dry_run` only print what would be recorded.

    Raises:
        SettingsError: no alerts are set, or a setting is wrong.
        MapringError: the counts cannot be read, or the log of alerts is damaged.
    """
    clock = SystemClock()
    alerting = make_alerting(config, overrides, clock)
    if dry_run:
        print_found(alerting.record(is_dry=True))
        return
    with clock.listening():
        look(config, alerting)


def alert_after_scoring(config: str, overrides: Sequence[str], clock: Clock) -> None:
    """What a schedule does after a scoring, if alerts are set: an error is told and tried again, and never raised."""
    pause = _PAUSE_SECONDS
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if load_settings(config, overrides).alerts is not None:
                look(config, make_alerting(config, overrides, clock))
        except Exception as error:  # the scores are there, whatever becomes of alerts
            told = str(error) if isinstance(error, MapringError) else f"{type(error).__name__}: {in_one_line(error)}"
            say("alerts", f"failed at attempt {attempt} of {_ATTEMPTS}: {told}")
        else:
            return
        if attempt < _ATTEMPTS and clock.wait(pause):
            return
        pause *= 2
    say("alerts", "left to the next run, which judges and delivers what this one has not")


def look(config: str, alerting: Alerting) -> Found | None:
    """Look once, unless another run is at it for longer than we wait; None then."""
    clock = alerting.clock
    lease = Lease(storage.join(alerting.root, "running.json"), config, clock, grace_seconds=1.0)
    begin = clock.steady()
    while lease.take(clock.now()) != "taken":
        if clock.steady() - begin > _PATIENCE_SECONDS:
            say("alerts", f"{lease.other} is at work on these alerts; nothing was done here")
            return None
        if clock.wait(_LOOK_SECONDS):
            return None
    with lease.beating():
        found = alerting.look()
    _tell(found)
    return found


def make_alerting(config: str, overrides: Sequence[str], clock: Clock) -> Alerting:
    """The alerts of a pipeline on this machine.

    Raises:
        SettingsError: no alerts are set, an environment variable or a library is missing.
    """
    settings = load_settings(config, overrides)
    chosen = settings.alerts
    if chosen is None:
        raise SettingsError(f"{config}: alerts: is missing; add it, such as alerts: {{log_file: alerts.log}}")
    run = RunDirectory(settings.run_dir)
    return Alerting(
        pipeline=settings.name,
        root=run.alerts,
        settings=chosen,
        length=settings.watch.window_length,
        clock=clock,
        gather=lambda: gather(config, settings, clock.now()),
        examples=examples_of(config, overrides, run.scores),
        sinks=open_sinks(config, settings, chosen, clock),
    )


def open_sinks(config: str, settings: Settings, chosen: Alerts, clock: Clock) -> list[Sink]:
    """Everyone who is told of an alert.

    Raises:
        SettingsError: an environment variable or a library is missing.
    """
    sinks: list[Sink] = [] if chosen.log_file is None else [LogFile(chosen.log_file)]
    try:
        sinks += [open_webhook(hook, clock) for hook in chosen.webhooks]
        if chosen.openlineage:
            sinks.append(open_lineage(RunDirectory(settings.run_dir).scores))
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from None
    return sinks


def print_found(found: Found) -> None:
    """Print what a dry run has found."""
    table = PlainTable("would be recorded")
    for heading in ("status", "what", "id"):
        table.add_column(heading, overflow="fold")
    for record in found.records:
        status = record.status if record.reason is None else f"{record.status}: {record.reason}"
        table.add_row(status, sentence(record), record.id)
    Console().print(table)
    _tell(found)


def _tell(found: Found) -> None:
    alerts = sum(record.status == "alert" for record in found.records)
    parts = [f"{found.judged:,} windows judged", f"{alerts:,} alerts", f"{len(found.records) - alerts:,} held back"]
    parts += [f"{count:,} not judged: {reason}" for reason, count in sorted(found.passed_over.items())]
    if found.told_by_others:
        parts.append(f"{found.told_by_others:,} not told beside the surge of their source or of its groups")
    parts += [f"{one.arrived:,} to {one.sink}" for one in found.delivered if one.arrived]
    say("alerts", ", ".join(parts))
