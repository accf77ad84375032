"""The scheduler's loop: catch-up, overlap, errors, restarts at every step, clocks."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mapring import storage
from mapring.errors import StageError
from pipelines.schedule import Scheduler
from pipelines.scheduling import lease, records
from tests.pipelines.scheduling.world import MINUTE, START, FakeClock, Killed, Life, at


def fail_times(count: int, error: Exception) -> Callable[[], bool]:
    """Work that fails so many times, and then does something."""
    left = [error] * count

    def work() -> bool:
        if left:
            raise left.pop()
        return True

    return work


def test_runs_begin_at_their_times_and_nothing_before_the_first_start_is_missed(tmp_path: Path) -> None:
    life = Life(tmp_path, FakeClock()).until(at(12, 30))
    assert life.runs == [at(10), at(11), at(12)]
    assert life.finished() == [(at(10), "done", 0), (at(11), "done", 0), (at(12), "done", 0)]
    assert not (tmp_path / "running.json").exists()


def test_a_run_with_nothing_to_do_is_done_and_says_so(tmp_path: Path) -> None:
    life = Life(tmp_path, FakeClock())
    life.work = lambda: False
    [record] = life.until(at(10, 30)).records()
    assert (record.state, record.is_news, record.attempts) == ("done", False, 1)


@pytest.mark.parametrize(
    ("settings", "runs", "finished"),
    [
        ({}, [at(10), at(12, 30)], [(at(10), "done", 0), (at(12), "done", 1)]),
        (
            {"catch_up": "all"},
            [at(10), at(12, 30), at(12, 32)],
            [(at(10), "done", 0), (at(11), "done", 0), (at(12), "done", 0)],
        ),
        (
            {"catch_up": "all", "most_missed": 1},
            [at(10), at(12, 30)],
            [(at(10), "done", 0), (at(12), "done", 1)],
        ),
        ({"catch_up": "none"}, [at(10)], [(at(10), "done", 0), (at(12), "passed over", 1)]),
    ],
)
def test_times_missed_by_a_scheduler_that_was_down(
    settings: dict[str, Any], runs: list[datetime.datetime], finished: list[Any], tmp_path: Path
) -> None:
    clock = FakeClock()
    before = Life(tmp_path, clock, **settings).until(at(10, 30))
    clock.time = at(12, 30)
    after = Life(tmp_path, clock, **settings).until(at(12, 50))
    assert before.runs + after.runs == runs and after.finished() == finished


@pytest.mark.parametrize(
    ("settings", "finished"),
    [
        ({}, [(at(10), "done", 0), (at(12), "done", 1)]),
        ({"catch_up": "all"}, [(at(10), "done", 0), (at(11), "done", 0), (at(12), "done", 0)]),
        ({"catch_up": "none"}, [(at(10), "done", 0), (at(12), "passed over", 1)]),
    ],
)
def test_a_run_longer_than_its_interval_never_overlaps_the_next(
    settings: dict[str, Any], finished: list[Any], tmp_path: Path
) -> None:
    life = Life(tmp_path, FakeClock(), **settings)
    lengths = [150 * 60, 60, 60]
    life.work = lambda: life.clock.advance(lengths.pop(0))
    assert life.until(at(12, 50)).finished() == finished
    assert life.runs == sorted(life.runs)


def test_a_failed_run_is_tried_again_after_longer_and_longer_pauses(tmp_path: Path) -> None:
    life = Life(tmp_path, FakeClock(), retries=3, retry_seconds=60)
    life.work = fail_times(3, StageError("score: the store is away\nand more"))
    [record] = life.until(at(10, 30)).records()
    assert life.runs == [at(10), at(10, 1), at(10, 3), at(10, 7)]
    assert (record.state, record.attempts, record.error) == ("done", 4, None)


def test_a_missing_model_is_an_error_of_its_time_and_not_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(tmp_path, FakeClock(), retries=1)
    life.work = fail_times(2, StageError("score: found no model at models/0a\nRun it again."))
    first, second = life.until(at(11, 30)).records()
    assert (first.time, first.state, first.attempts) == (at(10), "failed", 2)
    assert first.error == "score: found no model at models/0a"
    assert (second.time, second.state) == (at(11), "done")
    assert "10:00 UTC failed at attempt 2 of 2: score: found no model" in capsys.readouterr().err


def test_an_error_that_nobody_thought_of_is_recorded_with_its_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(tmp_path, FakeClock(), retries=0)
    life.work = fail_times(1, ZeroDivisionError("by zero"))
    assert [record.error for record in life.until(at(11, 30)).records()] == ["ZeroDivisionError: by zero", None]
    assert "Traceback" in capsys.readouterr().err


NO_OS_ERROR = type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"})


@pytest.mark.parametrize("kind", [OSError, NO_OS_ERROR])
def test_a_run_directory_that_does_not_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    real, broken = records.publish, [kind("no route to the store")] * 2

    def publish(root: str, record: records.Record) -> bool:
        if broken:
            raise broken.pop()
        return real(root, record)

    monkeypatch.setattr(records, "publish", publish)
    life = Life(tmp_path, FakeClock()).until(at(10, 30))
    assert life.finished() == [(at(10), "done", 0)] and len(life.runs) == 3


def test_an_error_of_ours_ends_the_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "publish", mock.Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        Life(tmp_path, FakeClock()).until(at(10, 30))


def test_a_stop_while_waiting_to_try_again_leaves_the_time_for_the_next_start(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path, clock, retry_seconds=600)
    life.work = fail_times(9, StageError("away"))
    assert life.until(at(10, 1)).finished() == [] and life.runs == [at(10)]
    assert Life(tmp_path, clock).until(at(10, 30)).finished() == [(at(10), "done", 0)]


def test_a_clock_that_goes_back_runs_nothing_again(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path, clock).until(at(12, 30))
    clock.time = at(9, 30)
    life.until(at(13, 30))
    assert life.runs == [at(10), at(11), at(12), at(13)]
    assert life.finished() == [(at(hour), "done", 0) for hour in (10, 11, 12, 13)]


def test_a_clock_that_was_years_ahead_does_not_hold_up_what_comes(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.time = START + datetime.timedelta(days=5000)
    Life(tmp_path, clock).until(clock.time + 61 * MINUTE)
    clock.time = START
    life = Life(tmp_path, clock).until(at(11, 30))
    assert life.runs == [at(10), at(11)]


def test_a_changed_cron_does_not_make_up_for_its_own_past(tmp_path: Path) -> None:
    clock = FakeClock()
    Life(tmp_path, clock, cron="0 10 * * *").until(at(14))
    life = Life(tmp_path, clock, cron="0 13 * * *").until(at(15))
    assert life.runs == [] and life.finished() == [(at(10), "done", 0)]


STEPS: list[tuple[object, str]] = [
    (records, "remember_start"),
    (lease.Lease, "take"),
    (lease.Lease, "tell_stage"),
    (Scheduler, "_finish"),
    (records, "publish"),
    (lease.Lease, "_give_back"),
    (storage, "create"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("home", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_scheduler_that_is_killed_at_any_step_goes_on_where_it_was(
    home: Any, name: str, when: str, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start ends with the records, and the work, of a scheduler that nobody killed."""
    done: list[str] = []  # as the scores table does, work that is there is not done again

    def life(clock: FakeClock) -> Life:
        made = Life(tmp_path, clock)

        def work() -> bool:
            made.scheduler.lease.tell_stage(os.getpid())
            clock.advance(60)
            hour = made.runs[-1].strftime("%H")
            is_news = hour not in done
            done.extend([hour] * is_news)
            return is_news

        made.work = work
        return made

    clock, real, calls = FakeClock(), getattr(home, name), []

    @functools.wraps(real)
    def deadly(*given: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == nth and when == "before":
            raise Killed
        result = real(*given, **named)
        if len(calls) == nth:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(home, name, deadly)
        if name != "_give_back":  # a kill does not take the note away
            patched.setattr(lease.Lease, "_give_back", lambda self: None)
        with pytest.raises(Killed):
            life(clock).until(at(12, 30))
    monkeypatch.setattr(lease, "is_gone", lambda note: True)
    monkeypatch.setattr(lease, "end_stage", lambda *given: None)
    clock.while_waiting = lambda: None
    again = life(clock).until(at(12, 30))
    assert again.finished() == [(at(hour), "done", 0) for hour in (10, 11, 12)]
    assert done == ["10", "11", "12"]
    assert not (tmp_path / "running.json").exists()


def test_once_runs_what_is_due_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    life = Life(tmp_path, clock, catch_up="all")
    life.scheduler.once()
    assert life.runs == [] and "nothing is due; the next time is 2026-03-28 10:00 UTC" in capsys.readouterr().err
    clock.time = at(12, 1)
    life.scheduler.once()
    assert [record.time for record in life.records()] == [at(10), at(11), at(12)]


def test_once_ends_with_the_error_of_its_last_run(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path, clock, retries=0)
    life.scheduler.once()
    life.work = fail_times(1, StageError("score: no"))
    clock.time = at(10, 1)
    with pytest.raises(StageError, match=r"schedule: 2026-03-28 10:00 UTC: score: no"):
        life.scheduler.once()
    assert life.finished() == [(at(10), "failed", 0)]
