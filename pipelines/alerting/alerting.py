"""One look for alerts: judge what is new, record what is found, deliver what waits. Can be killed anywhere.

The order is what makes it safe. An alert counts from the moment its record is there; windows count as judged after
that, so after a kill in between they are judged again and their surge is found in the log; and what is to be delivered
follows from the log.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mapring.errors import StageError
from mapring.progress import say
from mapring.settings.alerts import Alerts
from mapring.watch.extent import Extent
from mapring.watch.findings import Finding
from mapring.watch.groups import group_digests
from mapring.watch.series import Series, read_group_series, read_series
from mapring.watch.surges import Evaluation, find_surges
from pipelines.alerting.delivery import Delivered, Sink, deliver, waiting_for
from pipelines.alerting.drifts import new_drifts
from pipelines.alerting.evidence import Evidence
from pipelines.alerting.examples import Finder, no_examples
from pipelines.alerting.judged import Judged, extents_of, read_judged, windows_due, write_judged
from pipelines.alerting.prometheus import write_textfile
from pipelines.alerting.records import Record, alert_id, append, read_log, read_numbered
from pipelines.alerting.wording import sentence
from pipelines.scheduling.stopping import Clock

_OVERTAKEN = 20  # times in a row that other runs recorded first


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look has found; `records` are those that it added (or with a dry run would add)."""

    records: tuple[Record, ...]
    judged: int
    passed_over: Mapping[str, int]
    told_by_others: int = 0
    delivered: tuple[Delivered, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    finding: Finding
    count: int | None
    explained_by: str | None


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """The alerts of one pipeline.

    Args:
        pipeline: its name.
        root: the folder of its alerts.
        settings: what is an alert, and who is told.
        length: of a window.
        clock: what tells the time and waits.
        gather: reads counts and drifts.
        examples: finds texts of a surge.
        sinks: who is told.
    """

    pipeline: str
    root: str
    settings: Alerts
    length: datetime.timedelta
    clock: Clock
    gather: Callable[[], Evidence]
    examples: Finder = no_examples
    sinks: Sequence[Sink] = field(default_factory=tuple)

    def look(self) -> Found:
        """Judge, record, deliver. What waits is delivered also where judging fails.

        Raises:
            MapringError: there is nothing to judge, or it cannot be read.
        """
        try:
            found = self.record()
        except BaseException:
            self._deliver(read_log(self.root))
            raise
        log = read_log(self.root)
        delivered = self._deliver(log)
        self._write_numbers(log)
        return replace(found, delivered=tuple(delivered))

    def record(self, *, is_dry: bool = False) -> Found:
        """Judge what is due and add what is found to the log; with `is_dry` nothing is written.

        Raises:
            StageError: the log is damaged, or other runs were faster time after time.
        """
        evidence = self.gather()
        series, of_groups = read_series(evidence.counts), self._groups(evidence)
        digests = None if evidence.groups is None else group_digests(evidence.groups)
        added: list[Record] = []
        for _ in range(_OVERTAKEN):
            (log, number), judged = read_numbered(self.root), read_judged(self.root)
            due = windows_due(series, judged, self.settings.surges, self.length, self.clock.now(), digests)
            surges = extents_of(log, judged.surges, "surge", self.length)
            found = find_surges(
                [*series, *of_groups],
                due.windows,
                self.settings.surges,
                self.length,
                known=surges,
                alerts=[_judged_in(record, self.length) for record in log if _is_sent_surge(record)],
                drifts=evidence.drifts,
            )
            candidates = [
                _Candidate(finding=one.finding, count=one.count, explained_by=one.explained_by) for one in found.surges
            ]
            drifts, extents = self._drifts(log, judged, evidence)
            candidates += [_Candidate(finding=drift, count=None, explained_by=None) for drift in drifts]
            known = {record.id for record in log}
            fresh = [record for one in candidates if (record := self._record(one)).id not in known]
            if is_dry:
                return _found(fresh, found)
            appended = self._append(number, fresh)
            added += fresh[:appended]
            if appended == len(fresh):
                break
        else:
            raise StageError(f"{self.root}: other runs recorded alerts first, {_OVERTAKEN} times; run it again")
        windows, groups = {**judged.windows, **due.digests}, {**judged.groups, **due.groups}
        write_judged(self.root, Judged(windows=windows, groups=groups, surges=found.extents, drifts=extents))
        self._tell(due.too_late, due.ahead)
        return _found(added, found)

    def _deliver(self, log: Sequence[Record]) -> list[Delivered]:
        """Deliver what waits."""
        pending = datetime.timedelta(days=self.settings.pending_days)
        return deliver(self.root, log, self.sinks, self.clock.now(), pending)

    def _write_numbers(self, log: Sequence[Record]) -> None:
        """For Prometheus, once a look has succeeded: a rule on the age of the last look must notice where none does."""
        if self.settings.prometheus_file is None:
            return
        waiting = {sink.name: len(waiting_for(self.root, log, sink.name)) for sink in self.sinks}
        try:
            write_textfile(self.settings.prometheus_file, self.pipeline, log, waiting, self.clock.now())
        except OSError as error:
            say("alerts", f"{self.settings.prometheus_file}: cannot be written ({error}); the next run does")

    def _groups(self, evidence: Evidence) -> list[Series]:
        """The series of groups that can be judged."""
        least = self.settings.surges.minimum_rows
        return [] if evidence.groups is None else read_group_series(evidence.groups, least)

    def _append(self, number: int, fresh: Sequence[Record]) -> int:
        """How many records were added, with numbers from this one on, before another run took a number."""
        for place, record in enumerate(fresh):
            if not append(self.root, number + place, record):
                return place
            say("alerts", f"{'' if record.reason is None else f'held back ({record.reason}): '}{sentence(record)}")
        return len(fresh)

    def _drifts(
        self, log: Sequence[Record], judged: Judged, evidence: Evidence
    ) -> tuple[list[Finding], tuple[Extent, ...]]:
        """Drifts that are news, of windows that are not too old, and how far all of them go."""
        return new_drifts(
            evidence.drifts if self.settings.drift else (),
            extents_of(log, judged.drifts, "drift", self.length),
            evidence.newest,
            back=datetime.timedelta(days=self.settings.surges.judge_days),
            quiet=datetime.timedelta(hours=self.settings.drift_quiet_hours),
            length=self.length,
        )

    def _record(self, candidate: _Candidate) -> Record:
        finding = candidate.finding
        texts, note = self.examples(finding, self.settings.examples, self.settings.example_characters)
        return Record(
            id=alert_id(self.pipeline, finding),
            status="alert" if candidate.explained_by is None else "held back",
            reason=candidate.explained_by,
            pipeline=self.pipeline,
            count=candidate.count,
            examples=texts,
            examples_note=note,
            recorded_at=self.clock.now(),
            **vars(finding),
        )

    def _tell(self, too_late: int, ahead: int) -> None:
        if too_late:
            days = self.settings.surges.judge_days
            say("alerts", f"{too_late:,} windows changed more than {days:g} days back and are not judged")
        if ahead:
            say("alerts", f"{ahead:,} windows begin after now and are not judged; check the time column, and the clock")


def _found(records: Sequence[Record], found: Evaluation) -> Found:
    return Found(
        records=tuple(records),
        judged=found.judged,
        passed_over=found.passed_over,
        told_by_others=found.told_by_others,
    )


def _is_sent_surge(record: Record) -> bool:
    return record.kind == "surge" and record.status == "alert" and record.window_end is not None


def _judged_in(record: Record, length: datetime.timedelta) -> datetime.datetime:
    """The window in which a surge was found, the last of those that it was found by."""
    assert record.window_end is not None
    return record.window_end - length
