"""Watch a training from outside: its figures at checkpoints are judged, and one that is hopeless is ended."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mapring import storage

_LOOK_SECONDS = 1.0
_STOP_SECONDS = 60.0
_STRIDE_PERCENT = 10


class Watcher:
    """Reads `validation.jsonl` of a training directory while the training runs.

    A training is judged at every tenth of it, by the first evaluation there: tenths can be compared between
    trainings whose numbers of steps differ. One that is at its end is not ended.

    Args:
        directory: the training directory.
        metric: the figure to judge by; where evaluations lack it, nothing is judged.
        is_hopeless: takes how much is done in percent, a multiple of ten, and the figure.
    """

    def __init__(self, directory: str, metric: str, is_hopeless: Callable[[int, float], bool]) -> None:
        self._uri, self._metric, self._is_hopeless = storage.join(directory, "validation.jsonl"), metric, is_hopeless
        self._told = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.ended_at: int | None = None  # percent at which it was ended

    def look(self) -> bool:
        """Judge what is new; whether the training is to be ended."""
        for percent, value in self._evaluations():
            if self.ended_at is None and percent > self._told:
                self._told = percent
                if self._is_hopeless(percent, value) and percent < 100:
                    self.ended_at = percent
        return self.ended_at is not None

    def start(self, process_id: int) -> None:
        """Watch a process group until `close`, or until it has been told to end."""
        self._thread = threading.Thread(target=self._watch, args=(process_id,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and judge what was written last."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, process_id: int) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                if not self.look():
                    continue
            except OSError:  # such as a full disk, which the search meets itself when it writes next
                return
            for number in (signal.SIGTERM, signal.SIGKILL):  # first so that a trainer leaves a checkpoint
                _signal_group(process_id, number)
                if self._over.wait(_STOP_SECONDS):
                    return
            return

    def _evaluations(self) -> Iterator[tuple[int, float]]:
        """How much was done in percent, rounded down to tenths, and the figure, of every whole line."""
        if not storage.exists(self._uri):
            return
        for line in storage.read_bytes(self._uri).splitlines():
            try:
                found: dict[str, Any] = json.loads(line)
            except ValueError:  # it is being written
                continue
            value = found.get(self._metric)
            if isinstance(value, int | float) and math.isfinite(value):
                percent = 100 * found["step"] // found["total_steps"]
                yield percent - percent % _STRIDE_PERCENT, float(value)


def _signal_group(process_id: int, number: signal.Signals) -> None:
    try:
        os.killpg(process_id, number)
    except ProcessLookupError:
        return
