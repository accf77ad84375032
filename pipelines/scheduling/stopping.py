"""Time for a scheduler: what the clock says, waiting, and being told to stop."""

from __future__ import annotations

import datetime
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Protocol

from pipelines.process import stop_signals

_SHELL_SIGNAL = 128


class Clock(Protocol):
    """What a scheduler knows of time; tests have one of their own."""

    def now(self) -> datetime.datetime:
        """The time, UTC; it may jump, also back."""

    def steady(self) -> float:
        """Seconds from any start, which go forward only."""

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until we are told to stop; whether we are."""


class SystemClock:
    """The clock of this machine, and the signals that tell us to stop.

    A wait ends early and in peace. What is done `at_work` is interrupted, as `pipelines.process` interrupts a stage.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._is_at_work = False
        self._heard: int | None = None

    def now(self) -> datetime.datetime:
        """The time, UTC."""
        return datetime.datetime.now(datetime.UTC)

    def steady(self) -> float:
        """Seconds from any start, which go forward only."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until we are told to stop; whether we are."""
        return self._stop.wait(seconds)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are heard while the body runs; only in the main thread, as Python has it."""
        before = {number: signal.signal(number, self._hear) for number in stop_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A signal raises SystemExit, or KeyboardInterrupt, while the body runs; so does one that came just before."""
        self._is_at_work = True
        try:
            if self._heard is not None:
                _interrupt(self._heard)
            yield
        finally:
            self._is_at_work = False

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._heard = number
        self._stop.set()
        if self._is_at_work:
            _interrupt(number)


def _interrupt(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(_SHELL_SIGNAL + number)
