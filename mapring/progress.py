"""Progress lines that read well on a terminal, in a log file and through a launcher's pipe alike."""

from __future__ import annotations

import sys
import time

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


class Progress:
    """A line about what is done, how fast and for how long still, at most every `interval` seconds."""

    def __init__(self, stage: str, task: str, total: int, unit: str, interval: float = 5.0) -> None:
        self.stage, self.task, self.total, self.unit, self.interval = stage, task, total, unit, interval
        self._start = self._last = time.monotonic()
        self._first_done: int | None = None

    def update(self, done: int, note: str = "") -> None:
        """Tell how many units are done; prints when the interval has passed."""
        if self._first_done is None:
            self._first_done = done
        now = time.monotonic()
        if now - self._last < self.interval:
            return
        self._last = now
        advanced = done - self._first_done
        elapsed = now - self._start
        eta = f"  ETA {seconds_text((self.total - done) * elapsed / advanced)}" if advanced > 0 else ""
        share = f"{done:,}/{self.total:,} {self.unit}"
        say(self.stage, f"{self.task}  {share}{'  ' + note if note else ''}{eta}")
