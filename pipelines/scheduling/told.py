"""What `mapring status` tells of a schedule: the last run, errors, what waits, what runs, what comes next."""

from __future__ import annotations

import datetime
import itertools
import re

from mapring import storage
from mapring.plan import Plan
from mapring.progress import seconds_text
from mapring.scores.work import find_work
from mapring.settings.schedule import Schedule
from pipelines.process import log_folder
from pipelines.scheduling import records
from pipelines.scheduling.attempts import told_time
from pipelines.scheduling.due import times_after
from pipelines.scheduling.lease import DEAD_SECONDS, is_gone, note_uri, read_note
from pipelines.scheduling.records import Record
from pipelines.stages import STAGES

_LOOKED_AT = 50  # finished times among which errors are sought
_ERRORS = 3
_TAIL_BYTES = 1 << 16
_ETA = re.compile(r"^\[mapring .*\bETA (\S+)")


def schedule_rows(plan: Plan, schedule: Schedule, now: datetime.datetime) -> list[tuple[str, str]]:
    """Names and values, for a table."""
    root = plan.run.schedule
    times = itertools.islice(records.finished_times(root, now), _LOOKED_AT)
    newest = [records.read_record(root, time) for time in times]
    rows = [("last run", _told_record(newest[0]) if newest else "none yet")]
    rows += [("failed", _told_record(record)) for record in newest if record.error is not None][:_ERRORS]
    if plan.settings.score is not None:
        rows.append(("lag", _lag(plan, now)))
    rows.append(("running", _running(plan, now)))
    coming = next(times_after(schedule, now))
    rows.append(("next run", f"{told_time(coming)}, in {seconds_text((coming - now).total_seconds())}"))
    return rows


def _told_record(record: Record) -> str:
    parts = [f"{told_time(record.time)}: {record.state}"]
    if record.state == "done":
        parts[0] += "" if record.is_news else ", nothing to do"
        parts.append(f"in {seconds_text((record.finished - record.started).total_seconds())}")
    if record.attempts > 1:
        parts.append(f"at attempt {record.attempts}")
    if record.missed:
        parts.append(f"also for {record.missed:,} missed times")
    return " ".join(parts) + (f": {record.error}" if record.error is not None else "")


def _lag(plan: Plan, now: datetime.datetime) -> str:
    """How long inputs have waited that the table does not hold, by when they were last modified."""
    _, work = find_work(plan)
    if not work.score:
        return "none, the table holds all inputs"
    ages = sorted(((now - storage.modified(file.uri)).total_seconds(), file.relative) for file in work.score)
    (newest, path), (oldest, _) = ages[0], ages[-1]
    return (
        f"{len(work.score):,} inputs wait, the newest ({path}) for {seconds_text(max(0.0, newest))}, "
        f"the oldest for {seconds_text(max(0.0, oldest))}"
    )


def _running(plan: Plan, now: datetime.datetime) -> str:
    note = read_note(note_uri(plan.run.schedule))
    if note is None:
        return "nothing"
    told = f"{note.time} since {note.since}, {note}"
    if is_gone(note):
        return f"{told}, which is gone; the next start begins this time again"
    quiet = (now - storage.modified(note_uri(plan.run.schedule))).total_seconds()
    if quiet > DEAD_SECONDS:
        return f"{told}, of which nothing was heard for {seconds_text(quiet)}"
    eta = _last_eta(plan)
    return told + (f", ETA {eta}" if eta is not None else "")


def _last_eta(plan: Plan) -> str | None:
    """The time remaining, as the newest log of a stage told it last; None where its last line tells none."""
    logs = [path for stage in STAGES for path in log_folder(plan.run.root).glob(f"{stage}-*.log")]
    newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return None
    with newest.open("rb") as file:
        file.seek(max(0, newest.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    ours = [line for line in lines if line.startswith("[mapring ")]
    found = _ETA.search(ours[-1]) if ours else None
    return None if found is None else found.group(1)
