"""Which documents every step was trained on: an optional log, and what it proves after kills and changes of size.

`samples/attempt-0002-from-00000100/rank-00001-of-00003-00000120.jsonl` holds what rank 1 of 3 took in some steps of
the training's third start, which went on from the checkpoint of step 100: a JSON line a step. Parts are written whole
and always before a checkpoint, so every step that a later start builds on is there; what a start leaves
beyond the checkpoint that the next one takes up is rolled back, and the next one's steps count instead.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from mapring import storage
from mapring.errors import PublishedError
from training.ring import Ring, first_rank_only

FOLDER = "samples"
_STEPS_PER_PART = 50
_ATTEMPT = re.compile(r"attempt-(\d+)-from-(\d+)")
_PART = re.compile(r"rank-(\d+)-of-(\d+)-\d+\.jsonl")


class SampleLog:
    """Writes this rank's part of the log. Every rank makes one at the same time.

    Args:
        directory: the training directory.
        done: optimizer steps that the checkpoint has seen from which this start goes on.
    """

    def __init__(self, directory: str, ring: Ring, *, done: int) -> None:
        folder = storage.join(directory, FOLDER)
        self._rank = f"rank-{ring.rank:05d}-of-{ring.size:05d}"
        name = first_rank_only(ring, lambda: f"attempt-{len(_attempts(folder)):04d}-from-{done:08d}")
        self._folder = storage.join(folder, str(name))
        self._lines: list[bytes] = []
        self._last = done

    def add(self, step: int, epoch: int, doc_ids: Sequence[str]) -> None:
        """Note this rank's documents of optimizer step `step`, counted from 1."""
        values: dict[str, Any] = {"step": step, "epoch": epoch, "doc_ids": list(doc_ids)}
        self._lines.append(json.dumps(values).encode() + b"\n")
        self._last = step
        if len(self._lines) >= _STEPS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Write what is noted; nothing of it is lost afterwards."""
        if self._lines:
            part = storage.join(self._folder, f"{self._rank}-{self._last:08d}.jsonl")
            storage.replace(part, b"".join(self._lines))
            self._lines = []


class TrainedStep(NamedTuple):
    """What one optimizer step was trained on: its epoch, and the documents of all ranks, sorted."""

    epoch: int
    doc_ids: list[str]


class Samples(NamedTuple):
    """The steps that count, by number; and for each start but the first, the numbers of steps that it rolled back."""

    steps: dict[int, TrainedStep]
    rolled_back: list[list[int]]


def read_samples(directory: str) -> Samples:
    """Read the log of a training directory.

    Raises:
        PublishedError: a step lacks the part of a rank, though a later one is complete.
    """
    folder = storage.join(directory, FOLDER)
    steps: dict[int, TrainedStep] = {}
    rolled_back = []
    for number, (name, first) in enumerate(_attempts(folder)):
        undone = sorted(step for step in steps if step > first)
        for step in undone:
            del steps[step]
        if number:
            rolled_back.append(undone)
        steps.update(_read_attempt(storage.join(folder, name)))
    missing = sorted(set(range(1, max(steps, default=0))) - steps.keys())
    if missing:
        raise PublishedError(f"{folder}: found no samples of step {missing[0]}, expected those of all steps before it")
    return Samples(steps, rolled_back)


def _attempts(folder: str) -> list[tuple[str, int]]:
    """Names of the starts in their order, each with the step that it went on from."""
    found = sorted(name for name in storage.list_names(folder) if _ATTEMPT.fullmatch(name))
    return [(name, int(name.rpartition("-")[2])) for name in found]


def _read_attempt(folder: str) -> dict[int, TrainedStep]:
    """The steps of which the parts of all ranks are there; a kill leaves others only at the end."""
    parts: defaultdict[int, list[tuple[int, list[str]]]] = defaultdict(list)
    size = 0
    for name in storage.list_names(folder):
        found = _PART.fullmatch(name)
        if found is None:
            continue
        size = int(found.group(2))
        for line in storage.read_bytes(storage.join(folder, name)).splitlines():
            values = json.loads(line)
            parts[values["step"]].append((values["epoch"], values["doc_ids"]))
    return {
        step: TrainedStep(own[0][0], sorted(doc_id for _, doc_ids in own for doc_id in doc_ids))
        for step, own in sorted(parts.items())
        if len(own) == size
    }
