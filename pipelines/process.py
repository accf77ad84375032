"""Run a stage as a process: its own lines to the console, all lines to a log, nothing left running."""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from mapring import storage
from mapring.errors import SettingsError, StageError
from mapring.full_disk import is_full
from mapring.progress import PREFIX, say
from pipelines.stages import Command

_LAUNCHER_PREFIX = re.compile(r"^\[[\d,]+\](?:<std(?:out|err)>)?:? ?")
_LAST_LINES = 15
STOP_SECONDS = 20.0  # from the polite signal to the other one
_SHELL_SIGNAL = 128
# What horovodrun gives ranks between the two signals; its own 5 s are too few for a checkpoint (patch_horovod.py).
_STOP_VARIABLE = "HOROVOD_GRACEFUL_TERMINATION_TIME_S"


def log_folder(run_dir: str) -> Path:
    """Where logs are: below the run directory when that is local, else below `.mapring` here."""
    local = storage.local_path(run_dir)
    return (local if local is not None else Path(".mapring")) / "logs"


def log_path(run_dir: str, stage: str) -> Path:
    """A new log file's path in a folder that is there."""
    folder = log_folder(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    time = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
    return folder / f"{stage}-{time[:-3]}.log"


def run_process(
    command: Command,
    *,
    stage: str,
    log: Path,
    advice: Callable[[], str],
    started: Callable[[int], None] = lambda _process_id: None,
    stop_seconds: float = STOP_SECONDS,
) -> None:
    """Run a command to its end, showing its progress lines.

    Args:
        command: what to start.
        stage: name of the stage, for messages.
        log: file that gets every line.
        advice: tells what to do next; asked when it has failed.
        started: is told the id of the process, which is also that of its group.
        stop_seconds: how long it may take to end when it is told to stop.

    Raises:
        SettingsError: the stage said that a setting is wrong (exit code 2).
        StageError: it failed; the message has its own error line, or the last lines of its log.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    errors: list[str] = []
    with _Log(log, stage) as sink, _started(command, stop_seconds) as process:
        started(process.pid)
        assert process.stdout is not None
        for raw in process.stdout:
            line = _LAUNCHER_PREFIX.sub("", raw.rstrip("\n"))
            sink.write(line)
            last.append(line)
            if line.startswith("error: "):
                errors.append(line.removeprefix("error: "))
            elif line.startswith(f"[{PREFIX} "):
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        code = process.wait()
    if code == 0:
        return
    if code == SettingsError.exit_code and errors:
        raise SettingsError(errors[0])
    reason = errors[0] if errors else f"ended with {_ending(code)}; its last lines:\n  " + "\n  ".join(last)
    raise StageError(f"{stage}: {reason}\n{advice()} The whole log: {log}")


class _Log:
    """The log file; where its disk is full it ends, that is said, and the stage can still tell its own error."""

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Log:
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            self._end(error)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: str) -> None:
        """Append one line, at once."""
        try:
            if self._file is not None:
                self._file.write(f"{line}\n".encode())
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        if not is_full(error):
            raise error
        say(self._stage, f"{self._path}: the log ends here, its disk is full; make room there")
        if self._file is not None:
            self._file.close()
        self._file = None


def _ending(code: int) -> str:
    number = -code if code < 0 else code - _SHELL_SIGNAL  # launchers pass a signal on as a shell does
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit code {code}"
    return f"signal {name}" + (": it was killed, by somebody or by the system for want of memory" * (number == 9))


def stop_signals() -> tuple[signal.Signals, ...]:
    """Signals that tell us to stop; that of a closed terminal only where it is not ignored, as nohup has it."""
    hears_hangup = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hears_hangup else ()))


@contextmanager
def _started(command: Command, stop_seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own; the group is stopped when the body ends early or we are told to stop."""
    process = subprocess.Popen(
        command.words,
        env={**os.environ, **command.environment, _STOP_VARIABLE: f"{stop_seconds:g}", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:  # shell and kernel may both send it: a second one must not end the stopping
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield process
    finally:
        _stop_group(process, command.stop_signal, stop_seconds)
        assert process.stdout is not None
        process.stdout.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_group(process: subprocess.Popen[str], polite: signal.Signals, seconds: float) -> None:
    """End what is left of the process group, first politely, so that a trainer can write its checkpoint."""
    for number in (polite, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
