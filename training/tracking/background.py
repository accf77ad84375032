"""A tracker that can neither end nor slow a training: its work is done in a thread, and its first error is its last."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from mapring.errors import in_one_line
from mapring.progress import say
from training.tracking.interface import Curve, Tracker, Values

_MOST_WAITING = 10_000  # blocks of rows: a service that stands still costs some memory, and then nothing
_CLOSE_SECONDS = 60.0


class Background:
    """Another tracker's work, done in a thread of its own, in order.

    An error there, or a service that stands still, is told once as a warning, and that tracker takes up nothing more:
    metrics.jsonl has everything, and the next start of the training brings what is missing.

    Args:
        name: of the service, for the warning.
        tracker: does the work.
        patience: time in s that closing waits for what is left.
    """

    def __init__(self, name: str, tracker: Tracker, patience: float = _CLOSE_SECONDS) -> None:
        self._name, self._tracker, self._patience = name, tracker, patience
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_MOST_WAITING)
        self._has_failed = False
        self._thread = threading.Thread(target=self._work, name=f"tracking-{name}", daemon=True)
        self._thread.start()

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        """Take up rows later."""
        self._later(lambda: self._tracker.log(curve, rows))

    def conclude(self, step: int, figures: Values) -> None:
        """Take up figures later."""
        self._later(lambda: self._tracker.conclude(step, figures))

    def close(self) -> None:
        """Wait for what is left, but not for ever."""
        self._later(self._tracker.close)
        self._later(None)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._fail(f"it has not taken up everything within {self._patience:.0f} s")

    def _later(self, work: Callable[[], None] | None) -> None:
        if self._has_failed:
            return
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            self._fail(f"{_MOST_WAITING:,} blocks of values wait for it")

    def _work(self) -> None:
        while not self._has_failed and (work := self._waiting.get()) is not None:
            try:
                work()
            except Exception as error:  # whatever a library raises is no reason to end a training
                self._fail(in_one_line(error) or type(error).__name__)

    def _fail(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            say("train", f"warning: {self._name} gets no more values ({reason}); the training goes on without it")
