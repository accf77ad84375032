"""The note of a run directory on a local disk and in an object store: one takes it, a dead one's successor is one."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from mapring import storage
from pipelines.scheduling import lease as module
from pipelines.scheduling.lease import DEAD_SECONDS, Lease, note_uri, read_note
from tests.pipelines.scheduling.world import START, FakeClock, Killed

ELSEWHERE = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026"}


@pytest.fixture(params=["local", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return note_uri(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}/schedule")


def leased(uri: str, clock: FakeClock, grace: float | None = 1) -> Lease:
    return Lease(uri, "pipeline.yaml", clock, grace)


def seen_dead(lease: Lease, clock: FakeClock) -> str:
    """What comes of looking at a note for as long as it takes to be dead."""
    assert lease.take(START) == "unknown"
    clock.advance(DEAD_SECONDS)
    return lease.take(START)


def files(uri: str) -> list[str]:
    return storage.list_names(uri.rpartition("/")[0])


def test_one_has_it_until_it_is_given_back(uri: str) -> None:
    clock = FakeClock()
    first, second = leased(uri, clock), leased(uri, clock)
    assert first.take(START) == "taken" and second.take(START) == "unknown"
    with first.beating():
        first.tell_stage(7)
        note = read_note(uri)
        assert note is not None and (note.stage, note.beat) == (7, 1)
        assert second.take(START) == "busy", "it has moved since the last look"
    assert files(uri) == [] and second.take(START) == "taken"


def test_a_dead_note_of_another_host_is_taken_over_after_a_minute_of_looks(uri: str) -> None:
    clock = FakeClock()
    storage.create(uri, json.dumps(ELSEWHERE).encode())
    lease = leased(uri, clock)
    assert lease.take(START) == "unknown"
    clock.advance(DEAD_SECONDS - 1)
    assert lease.take(START) == "unknown"
    clock.advance(1)
    assert lease.take(START) == "taken" and files(uri) == ["running.json"]


def test_of_many_who_see_it_dead_one_takes_it_over(uri: str) -> None:
    storage.create(uri, json.dumps(ELSEWHERE).encode())
    clock = FakeClock()
    leases = [leased(uri, clock) for _ in range(8)]
    assert {one.take(START) for one in leases} == {"unknown"}
    clock.advance(DEAD_SECONDS)
    barrier, came = threading.Barrier(len(leases)), list[str]()

    def take(lease: Lease) -> None:
        barrier.wait()
        came.append(lease.take(START))

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came.count("taken") == 1 and set(came) <= {"taken", "unknown", "busy"}


@pytest.mark.parametrize("step", ["replace", "remove_file"])
def test_a_successor_that_is_killed_on_its_way_has_a_successor(
    uri: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    storage.create(uri, json.dumps(ELSEWHERE).encode())
    monkeypatch.setattr(module.socket, "gethostname", lambda: "killed")

    def killed(*_values: object) -> None:
        raise Killed

    monkeypatch.setattr(storage, step, killed)
    with pytest.raises(Killed):
        seen_dead(leased(uri, clock), clock)
    monkeypatch.undo()
    assert len(files(uri)) == 2
    lease = leased(uri, clock)
    assert seen_dead(lease, clock) == "taken"
    note = read_note(uri)
    assert note is not None and note.host != "killed"
    with lease.beating():
        pass
    assert leased(uri, clock).take(START) == "taken"


def test_one_that_stood_still_does_not_write_over_its_successor_nor_take_its_note_away(uri: str) -> None:
    clock = FakeClock()
    slow, quick = leased(uri, clock), leased(uri, clock)
    assert slow.take(START) == "taken"
    with slow.beating():
        assert seen_dead(quick, clock) == "taken"
        slow.tell_stage(9)
        note = read_note(uri)
        assert note is not None and note.stage is None
    assert read_note(uri) == note


def test_a_store_that_does_not_answer_ends_no_work(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = leased(uri, FakeClock())
    assert lease.take(START) == "taken"
    with lease.beating():
        monkeypatch.setattr(storage, "read_bytes", lambda _uri: (_ for _ in ()).throw(OSError("no answer")))
        lease.tell_stage(1)
    monkeypatch.undo()
    assert read_note(uri) is not None, "it no longer beats, so it is dead within a minute"


def test_who_leaves_stages_alone_waits_for_that_of_a_killed_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = note_uri(str(tmp_path))
    words = [sys.executable, "-c", "import time; time.sleep(600)", "pipeline.yaml"]
    stage = subprocess.Popen(words, start_new_session=True)
    try:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        note = {**ELSEWHERE, "host": module.socket.gethostname(), "process": gone.pid, "stage": stage.pid}
        storage.create(uri, json.dumps(note).encode())
        assert leased(uri, FakeClock(), grace=None).take(START) == "busy" and stage.poll() is None
    finally:
        stage.kill()
        stage.wait()
    assert leased(uri, FakeClock(), grace=None).take(START) == "taken"


def test_moments_of_a_note_are_those_of_its_time(uri: str) -> None:
    assert leased(uri, FakeClock()).take(START + datetime.timedelta(hours=1)) == "taken"
    note = read_note(uri)
    assert note is not None and note.time == "2026-03-28T10:59:00+00:00"
