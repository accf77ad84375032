"""Progress lines that read well on a terminal, in a log file and through a launcher's pipe alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PREFIX = "mapring"


def say(stage: str, message: str) -> None:
    """Print one line about a stage; launchers show such lines and keep all others for the log."""
    print(f"[{PREFIX} {stage}] {message}", file=sys.stderr, flush=True)


def seconds_text(seconds: float) -> str:
    """A duration as people write it: 42s, 3m05s, 2h10m."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def bytes_text(size: float) -> str:
    """A size in bytes as people write it, in powers of 1000: 730 B, 3.1 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


class Progress:
    """Lines about what is done, how fast and for how long still, at most one every `interval` seconds.

    `clock` tells seconds from any start.
    """

    def __init__(
        self,
        stage: str,
        task: str,
        total: int,
        unit: str,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage, self.task, self.total, self.unit, self.interval = stage, task, total, unit, interval
        self._clock = clock
        self._start = self._last = clock()
        self._first_done: int | None = None

    def update(self, done: int, note: str = "", *, documents: int | None = None) -> None:
        """Tell how many units are done, and documents where they are counted; prints when the interval has passed."""
        if self._first_done is None:
            self._first_done = done
        now = self._clock()
        if now - self._last < self.interval:
            return
        self._last = now
        advanced, elapsed = done - self._first_done, now - self._start
        parts = [f"{self.task}  {done:,}/{self.total:,} {self.unit}"]
        if documents is not None:
            parts.append(_documents_text(documents, elapsed))
        if note:
            parts.append(note)
        if advanced > 0:
            parts.append(f"ETA {seconds_text((self.total - done) * elapsed / advanced)}")
        say(self.stage, "  ".join(parts))

    def finish(self, documents: int | None = None) -> None:
        """Tell that all is done, where that took long enough to print a line at all."""
        elapsed = self._clock() - self._start
        if elapsed >= self.interval:
            counted = "" if documents is None else f": {_documents_text(documents, elapsed)}"
            say(self.stage, f"{self.task}  done in {seconds_text(elapsed)}{counted}")


def _documents_text(documents: int, elapsed: float) -> str:
    return f"{documents:,} documents  {documents / elapsed:,.0f} docs/s"
