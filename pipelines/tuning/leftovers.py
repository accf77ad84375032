"""Processes of a trial whose search was killed: they would go on in the same training directory as the next start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil

_TRAINER = "training.train"
_STOP_SECONDS = 60.0


def end_leftovers(config: str, overrides: Sequence[str]) -> int:
    """End the processes of this machine that train a config with these overrides; returns how many there were.

    All of the overrides and no others, for a training with only some of them is somebody's own; but those of the search
    itself may have been others when it was killed. Ranks are asked first: they write a checkpoint, and their launcher
    ends with them.
    """
    found = [process for process in psutil.process_iter() if _trains(process, config, overrides)]
    ranks = [process for process in found if _is_rank(process)]
    for process in ranks or found:
        _end(process, is_asked=True)
    _, alive = psutil.wait_procs(found, timeout=_STOP_SECONDS)
    for process in alive:
        _end(process, is_asked=False)
    psutil.wait_procs(alive, timeout=_STOP_SECONDS)
    return len(found)


def _trains(process: psutil.Process, config: str, overrides: Sequence[str]) -> bool:
    try:
        line = process.cmdline()
        if _TRAINER not in line or _of_training(line) != ["--config", config, *_of_training(overrides)]:
            return False
        return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(Path.cwd())
    except psutil.Error:  # it has ended, or is not ours
        return False


def _of_training(words: Sequence[str]) -> list[str]:
    """What a line says behind the trainer's name, if that stands there, without what is of the search alone."""
    start = words.index(_TRAINER) + 1 if _TRAINER in words else 0
    return [word for word in words[start:] if not word.startswith("tune.")]


def _is_rank(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:3] == ["-m", _TRAINER]
    except psutil.Error:
        return False


def _end(process: psutil.Process, *, is_asked: bool) -> None:
    try:
        if is_asked:
            process.terminate()
        else:
            process.kill()
    except psutil.Error:
        return
