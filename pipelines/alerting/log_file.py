"""A line for each alert in a local file, exactly once: what is there is looked for before a line is added."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.alerting.records import Record
from pipelines.alerting.wording import sentence


@dataclass(frozen=True)
class LogFile:
    """A file that gets lines, of several pipelines if need be; a lock keeps their runs apart."""

    path: str
    name: str = "log_file"

    def deliver(self, records: Sequence[Record], arrived: Callable[[Record], None]) -> None:
        """Add the lines that are not there yet. A line that a kill has cut off is taken out first."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        with Path(self.path).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            file.truncate(len(whole))
            for record in records:
                if f" {record.id} ".encode() not in whole:
                    file.write(f"{record.recorded_at:%Y-%m-%dT%H:%M:%SZ} {record.id} {sentence(record)}\n".encode())
                    file.flush()
                    os.fsync(file.fileno())
                arrived(record)
