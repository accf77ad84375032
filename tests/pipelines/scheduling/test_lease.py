"""Two schedulers on one run directory: one works, a dead one is noticed, and what it left running is ended."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.scheduling import lease
from pipelines.scheduling.lease import Note, is_gone, process_namespace
from tests.pipelines.scheduling.world import START, FakeClock, Life, at


def test_a_note_of_another_host_is_dead_after_a_minute_of_looks(tmp_path: Path) -> None:
    note = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026"}
    (tmp_path / "running.json").write_text(json.dumps(note))
    life = Life(tmp_path, FakeClock()).until(at(10, 30))
    [begin] = life.runs
    assert at(10, 1) <= begin <= at(10, 2) and life.finished() == [(at(10), "done", 0)]


def test_a_note_that_beats_is_left_alone_however_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    life = Life(tmp_path, clock)
    beats = []

    def beat() -> None:
        beats.append(1)
        note = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026", "beat": len(beats)}
        (tmp_path / "running.json").write_text(json.dumps(note))

    clock.while_waiting = beat
    assert life.until(at(13, 30)).runs == []
    life.clock.stop_at = at(15)
    life.scheduler.once()
    assert life.runs == [] and "process 1 on elsewhere is at work" in capsys.readouterr().err


def test_a_note_that_cannot_be_read_is_dead_once_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_bytes(b'{"holder": ')
    assert Life(tmp_path, FakeClock()).until(at(10, 30)).finished() == [(at(10), "done", 0)]


def test_two_schedulers_at_once_give_a_time_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one stands still in its work, is taken for dead, and comes back."""
    clock = FakeClock()
    first, second = Life(tmp_path, clock), Life(tmp_path, clock)

    def stand_still() -> None:
        if not second.runs:
            clock.time = at(10, 5)
            second.scheduler.once()

    first.work = stand_still
    first.until(at(11, 30))
    assert [run.hour for run in first.runs] == [10, 11] and [run.hour for run in second.runs] == [10]
    assert first.finished() == [(at(10), "done", 0), (at(11), "done", 0)]
    assert "10:00 UTC was also finished by another scheduler" in capsys.readouterr().err


def test_the_other_one_s_work_is_not_done_again_by_one_who_waited(tmp_path: Path) -> None:
    clock = FakeClock()
    first, second = Life(tmp_path, clock), Life(tmp_path, clock)
    second.scheduler.missed(START)  # it was there from the start
    clock.time = at(10)
    note = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026"}
    (tmp_path / "running.json").write_text(json.dumps(note))
    looks = []

    def other_ends() -> None:
        looks.append(1)
        if len(looks) == 3:
            (tmp_path / "running.json").unlink()
            first.scheduler.once()

    clock.while_waiting = other_ends
    second.until(at(10, 30))
    assert len(first.runs) == 1 and second.runs == []


def test_a_stage_that_a_killed_scheduler_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    ours = subprocess.Popen([*words, "pipeline.yaml"], start_new_session=True)
    other = subprocess.Popen([*words, "another.yaml"], start_new_session=True)
    try:
        lease.end_stage(other.pid, "pipeline.yaml", 5)
        lease.end_stage(ours.pid, "pipeline.yaml", 5)
        assert not psutil.pid_exists(ours.pid) and other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_a_process_of_another_container_is_not_known_to_be_gone() -> None:
    """Containers may share a host's name, and each has process ids of its own."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note = Note(holder="a", host=socket.gethostname(), process=ended.pid, time="", since="2026")
    here = replace(note, namespace=process_namespace())
    assert here.namespace and is_gone(note) and is_gone(here)
    assert not is_gone(replace(note, namespace=here.namespace + 1))


@pytest.mark.parametrize("is_once", [True, False])
def test_a_note_that_was_left_behind_finished_work_is_taken_away(tmp_path: Path, is_once: bool) -> None:
    """Killed between the record of a time and the end: nothing is due, so nobody would take over for an hour."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note = {"holder": "a", "host": socket.gethostname(), "process": ended.pid, "time": "", "since": "2026"}
    (tmp_path / "running.json").write_text(json.dumps(note))
    life = Life(tmp_path, FakeClock())
    if is_once:
        life.scheduler.once()
    else:
        life.until(at(10))
    assert life.runs == [] and not (tmp_path / "running.json").exists()
