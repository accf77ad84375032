"""Run a command as a whole process tree: wall time, and the peak of its memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

_POLL_SECONDS = 0.2


class Run(NamedTuple):
    """Wall seconds from start to exit; peaks in bytes of the whole tree and of the chosen processes."""

    seconds: float
    peak_tree: int
    peak_chosen: int


def run(
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    chosen: Callable[[psutil.Process], bool] = lambda _process: False,
) -> Run:
    """Run a command to its end, output to a log file.

    Args:
        command: program and arguments.
        log: file for all that it prints.
        cwd: working directory.
        environment: variables to set besides the present ones.
        chosen: processes whose memory is summed apart.

    Raises:
        RuntimeError: it failed; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **(environment or {})}
        )
        peaks = [0, 0]
        watcher = threading.Thread(target=_watch, args=(process, chosen, peaks), daemon=True)
        watcher.start()
        code = process.wait()
        seconds = time.monotonic() - began
        watcher.join()
    if code != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {code}; see {log}")
    return Run(seconds, *peaks)


def _watch(process: subprocess.Popen[bytes], chosen: Callable[[psutil.Process], bool], peaks: list[int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = own = 0
        try:
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            break
        for member in tree:
            try:
                memory = member.memory_info().rss
                total += memory
                own += memory if chosen(member) else 0
            except psutil.Error:  # it ended between the two looks
                continue
        peaks[:] = [max(peaks[0], total), max(peaks[1], own)]
        time.sleep(_POLL_SECONDS)
