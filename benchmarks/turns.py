"""Several trainings side by side, of which one runs at a time: all share the machine's moods, to within seconds.

A machine whose speed drifts by a tenth in a minute cannot compare trainings that run one after the other. So their
processes are stopped and continued in turn, and of each training those steps count that lie within one of its turns.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

import numpy as np
import psutil

from benchmarks.intervals import Seconds

_TURN_SECONDS = 4.0  # some six steps; the first of a turn began before it and does not count
_SETTLED_SECONDS = 0.2  # after which all processes of a training run again
_POLL_SECONDS = 0.1


@dataclass
class Contender:
    """A training that takes turns: its commands, which run together, and where its progress can be seen.

    Attributes:
        commands: words and log of each.
        steps_done: how many steps it has taken.
        warm_up: steps after which it takes its first turn.
        steps: of the whole training. Behind the last one it runs to its end, for ranks that wait for one another would
            take a pause for a stall.
        turns: seconds since the epoch at which each of its turns began and ended.
    """

    commands: Sequence[tuple[Sequence[str], Path]]
    environment: Mapping[str, str]
    steps_done: Callable[[], int]
    warm_up: int
    steps: int
    turns: list[tuple[float, float]] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, cwd: Path) -> None:
        """Start its commands."""
        for words, log in self.commands:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as sink:
                self.processes.append(
                    subprocess.Popen(
                        words, stdout=sink, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **self.environment}
                    )
                )

    @property
    def has_ended(self) -> bool:
        """Whether all its commands have.

        Raises:
            RuntimeError: one of them failed; the message names the log.
        """
        codes = [process.poll() for process in self.processes]
        for code, (words, log) in zip(codes, self.commands, strict=True):
            if code:
                raise RuntimeError(f"{' '.join(words)}: exit code {code}; see {log}")
        return None not in codes

    def send(self, signal: Signals) -> None:
        """Send a signal to all its processes, those that launchers have put in sessions of their own as well."""
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(process.pid)
                for member in [root, *root.children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):
                        member.send_signal(signal)


def take_turns(contenders: Sequence[Contender], cwd: Path) -> None:
    """Run all of them to their ends, one at a time.

    Raises:
        RuntimeError: one of them failed.
    """
    try:
        for contender in contenders:
            contender.start(cwd)
            while contender.steps_done() < contender.warm_up and not contender.has_ended:
                time.sleep(_POLL_SECONDS)
            contender.send(SIGSTOP)
        while any(not contender.has_ended for contender in contenders):
            for contender in contenders:
                if not contender.has_ended:
                    _take_turn(contender)
    finally:
        for contender in contenders:
            contender.send(SIGKILL)


def _take_turn(contender: Contender) -> None:
    contender.send(SIGCONT)
    began = time.time()
    while not contender.has_ended and (
        time.time() - began < _TURN_SECONDS or contender.steps_done() >= contender.steps
    ):
        time.sleep(_POLL_SECONDS)
    contender.turns.append((began + _SETTLED_SECONDS, time.time()))
    contender.send(SIGSTOP)


def seconds_within(turns: Sequence[tuple[float, float]], ends: Seconds) -> Seconds:
    """Seconds of each step but the first; not a number where it did not lie within one turn.

    Args:
        turns: beginnings and ends, in seconds since the epoch.
        ends: when each step ended, likewise.
    """
    seconds = np.diff(ends)
    inside = [any(begin <= first and last <= end for begin, end in turns) for first, last in pairwise(ends)]
    return np.where(inside, seconds, np.nan)
