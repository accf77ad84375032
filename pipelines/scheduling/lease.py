"""One scheduler at a time works on a run directory: a note that says who, and beats while he does.

It saves work and nothing else. Where two work at the same time all the same, the scores table takes each input once,
and a finished time has one file. So a note is never trusted for long: it is dead when it did not change for a minute of
looks (of looks, not of clocks, which differ between hosts), or at once when its process on this host is gone.

All of it goes through the storage layer, so a note in an object store is a note as well. To take over from a dead one
is to create the claim that is named after it, if absent, so of several who try one does. A claim is a note itself:
where its writer dies before it is done, the next one claims after that.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from mapring import storage
from mapring.contract.manifest import canonical_json
from mapring.progress import say
from pipelines.scheduling.stopping import Clock

BEAT_SECONDS = 10.0
DEAD_SECONDS = 60.0
_KILLED_SECONDS = 10.0


_UNREADABLE = "unknown"
_LONGEST_CHAIN = 1000  # of claims; more are a defect of ours


def note_uri(root: str) -> str:
    """The note's file in the schedule's folder of a run directory."""
    return storage.join(root, "running.json")


@dataclass(frozen=True, kw_only=True)
class Note:
    """Who is at work, on which time and since when; `stage` is the process group of its stage, if one runs.

    `namespace` is where its process ids count, which differs between containers of one host; 0 where it is not known.
    """

    holder: str
    host: str
    process: int
    time: str
    since: str
    stage: int | None = None
    beat: int = 0
    namespace: int = 0

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Lease:
    """The note of a run directory, seen by one scheduler.

    Args:
        uri: its file.
        config: the pipeline, by which a stage that a killed scheduler left is known.
        grace_seconds: what such a stage has to end; None leaves it alone, and the note is busy as long as it runs.
    """

    def __init__(self, uri: str, config: str, clock: Clock, grace_seconds: float | None) -> None:
        self._uri, self._config, self._clock, self._grace = uri, config, clock, grace_seconds
        self._holder = uuid.uuid4().hex
        self._seen: tuple[Note, float] | None = None  # a note of somebody else, and when it was first seen as it is
        self._mine: Note | None = None
        self._writing = threading.Lock()

    def take(self, time: datetime.datetime) -> Literal["taken", "busy", "unknown"]:
        """Try to become the one who works; `unknown` is a note that may be dead, which further looks will tell."""
        since = self._clock.now().isoformat(timespec="seconds")
        note = Note(
            holder=self._holder,
            host=socket.gethostname(),
            process=os.getpid(),
            time=time.isoformat(),
            since=since,
            namespace=process_namespace(),
        )
        standing = read_note(self._uri)  # first, for to look is cheaper than to try to create
        if standing is None:
            if not storage.create(self._uri, _bytes(note)):  # somebody was faster just now
                return "unknown"
            self._mine, self._seen = note, None
            return "taken"
        other, claims = self._end_of_claims(standing)
        first = self._seen is None or self._seen[0].holder != other.holder
        if first or self._seen is None or self._seen[0] != other:
            self._seen = (other, self._clock.steady())
            if not is_gone(other):
                return "unknown" if first else "busy"
        elif not is_gone(other) and self._clock.steady() - self._seen[1] < DEAD_SECONDS:
            return "unknown"
        return self._take_over(note, standing, claims, claim_uri(self._uri, other))

    def tidy(self, time: datetime.datetime) -> None:
        """Where nothing is due: remove the note of a process of this host that was killed behind its work."""
        note = read_note(self._uri)
        if note is not None and is_gone(note) and self.take(time) == "taken":
            self._give_back()

    def _take_over(
        self, note: Note, standing: Note, claims: list[str], mine: str
    ) -> Literal["taken", "busy", "unknown"]:
        stage = standing.stage if _is_here(standing) else None
        if stage is not None and self._grace is None and stage_runs(stage, self._config):
            return "busy"
        if not storage.create(mine, _bytes(note)):  # a third one was faster
            return "unknown"
        if read_note(self._uri) != standing:  # it was alive
            storage.remove_file(mine)
            return "unknown"
        say("schedule", f"{standing} is gone; what it had not finished is done again")
        if stage is not None and self._grace is not None:
            end_stage(stage, self._config, self._grace)
        storage.replace(self._uri, _bytes(note))
        for claim in (*claims, mine):
            storage.remove_file(claim)
        self._mine, self._seen = note, None
        return "taken"

    def _end_of_claims(self, standing: Note) -> tuple[Note, list[str]]:
        """Who claimed last to take over from a note, by claims on claims, and where they are; itself without any."""
        last, claims = standing, list[str]()
        while len(claims) < _LONGEST_CHAIN:
            uri = claim_uri(self._uri, last)
            following = read_note(uri)
            if following is None:
                break
            last = following
            claims.append(uri)
        return last, claims

    @property
    def other(self) -> Note | None:
        """The note of somebody else, as it was last seen."""
        return None if self._seen is None else self._seen[0]

    def tell_stage(self, process_id: int) -> None:
        """Remember the process of the stage that has been started."""
        self._write(process_id)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Let the note beat while the body runs, and take it away at its end."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT_SECONDS):
                self._write()

        thread = threading.Thread(target=beat, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._give_back()

    def _write(self, stage: int | None = None) -> None:
        with self._writing:
            if self._mine is None:
                return
            try:
                found = read_note(self._uri)
                if found is None or found.holder != self._holder:  # we stood still and were taken for dead
                    return
                self._mine = replace(self._mine, beat=self._mine.beat + 1, stage=stage or self._mine.stage)
                storage.replace(self._uri, _bytes(self._mine))
            except Exception as error:  # a store that does not answer must not end the work that it is about
                say("schedule", f"{self._uri}: the note of this run cannot be renewed: {error}")

    def _give_back(self) -> None:
        with self._writing:
            self._mine = None
            try:
                found = read_note(self._uri)
                if found is not None and found.holder == self._holder:
                    storage.remove_file(self._uri)
            except Exception as error:  # it no longer beats, so it is dead within a minute
                say("schedule", f"{self._uri}: the note of this run cannot be taken away: {error}")


def claim_uri(uri: str, note: Note) -> str:
    """The file of the claim to take over from the writer of a note."""
    known = note.holder if note.holder != _UNREADABLE else note.since
    return f"{uri}.after-{known}"


def read_note(uri: str) -> Note | None:
    """Who says to be at work; None where nobody does."""
    try:
        content = storage.read_bytes(uri)
    except FileNotFoundError:
        return None
    try:
        return Note(**json.loads(content))
    except (ValueError, TypeError):  # cut off by a store, or of another version; it is dead once it stays as it is
        return Note(holder=_UNREADABLE, host="unknown", process=0, time="", since=hashlib.sha256(content).hexdigest())


def is_gone(note: Note) -> bool:
    """Whether the process of a note was on this host, and is there no more; of other hosts it is not known."""
    return _is_here(note) and not psutil.pid_exists(note.process)


def process_namespace() -> int:
    """The number of the namespace of process ids, one for each container; 0 where the system tells none."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _is_here(note: Note) -> bool:
    """Whether process ids of a note mean the same here; containers may share the name of their host."""
    return note.host == socket.gethostname() and note.namespace in (0, process_namespace())


def stage_runs(group: int, config: str) -> bool:
    """Whether processes that a killed scheduler left still are what they were."""
    return any(_names_config(process, config) for process in psutil.process_iter() if _group(process) == group)


def end_stage(group: int, config: str, grace_seconds: float) -> None:
    """End the processes that a killed scheduler left, where they still are what they were."""
    if not stage_runs(group, config):
        return
    left = [process for process in psutil.process_iter() if _group(process) == group]
    say("schedule", f"its stage still runs without it (process group {group}) and is ended first")
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _KILLED_SECONDS)):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        _, left = psutil.wait_procs(left, timeout=seconds)
        if not left:
            return


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except (OSError, psutil.Error):
        return None


def _names_config(process: psutil.Process, config: str) -> bool:
    try:
        return config in process.cmdline()
    except psutil.Error:
        return False


def _bytes(note: Note) -> bytes:
    return canonical_json(asdict(note))
