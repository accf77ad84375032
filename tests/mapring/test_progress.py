"""Progress lines: units, documents, speed and the time remaining, seldom enough to be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.progress import Progress, bytes_text, say, seconds_text


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress("preprocess", "read", 40, "tasks", interval=5, clock=clock)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (41.6, "42s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (3599.7, "1h00m"),
        (7800, "2h10m"),
        (360000, "100h00m"),
    ],
)
def test_durations_read_as_people_write_them(seconds: float, expected: str) -> None:
    assert seconds_text(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (730.4, "730 B"),
        (999.96, "1.0 kB"),
        (3123, "3.1 kB"),
        (99_960, "100 kB"),
        (1.2e9, "1.2 GB"),
        (5e15, "5,000.0 TB"),
    ],
)
def test_sizes_read_as_people_write_them(size: float, expected: str) -> None:
    assert bytes_text(size) == expected


@given(st.integers(0, 10**18))
def test_the_written_size_is_the_size(size: int) -> None:
    number, unit = bytes_text(size).split()
    power = 1000 ** ("B", "kB", "MB", "GB", "TB").index(unit)
    assert abs(float(number.replace(",", "")) * power - size) <= 0.051 * max(power, size / 10)


def test_a_line_is_for_the_launcher(capfd: pytest.CaptureFixture[str]) -> None:
    say("train", "ready")
    assert capfd.readouterr().err == "[mapring train] ready\n"


def test_a_line_tells_tasks_documents_speed_and_time_remaining(
    progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    progress.update(0, documents=0)
    clock.now += 10
    progress.update(10, documents=12_340)
    line = "[mapring preprocess] read  10/40 tasks  12,340 documents  1,234 docs/s  ETA 30s\n"
    assert capfd.readouterr().err == line


def test_what_was_done_before_the_first_update_does_not_make_it_faster(
    progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    progress.update(20)
    clock.now += 10
    progress.update(30, "loss 0.5")
    assert capfd.readouterr().err == "[mapring preprocess] read  30/40 tasks  loss 0.5  ETA 10s\n"


def test_nothing_is_told_of_the_time_remaining_before_anything_is_done(
    progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    clock.now += 7
    progress.update(0, documents=0)
    assert capfd.readouterr().err == "[mapring preprocess] read  0/40 tasks  0 documents  0 docs/s\n"


def test_jobs_that_are_planned_later_are_reckoned_with(
    progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    progress.update(0)
    clock.now += 10
    progress.total = 60
    progress.update(20)
    assert capfd.readouterr().err.endswith("20/60 tasks  ETA 20s\n")


def test_lines_are_an_interval_apart(progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    for done in range(1, 41):
        clock.now += 1
        progress.update(done)
    assert len(capfd.readouterr().err.splitlines()) == 8


def test_the_end_is_told_where_it_took_long(
    progress: Progress, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    clock.now += 4
    progress.finish(8000)
    assert capfd.readouterr().err == ""
    clock.now += 16
    progress.finish(8000)
    progress.finish()
    first, second = capfd.readouterr().err.splitlines()
    assert first == "[mapring preprocess] read  done in 20s: 8,000 documents  400 docs/s"
    assert second == "[mapring preprocess] read  done in 20s"
