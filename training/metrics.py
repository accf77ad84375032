"""Training curves of rank 0: `metrics.jsonl`, one line a step, `validation.jsonl`, one line an evaluation of the
validation split at a checkpoint, and the same values for TensorBoard and other trackers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from mapring import storage
from mapring.full_disk import told_when_full
from training.tracking import Tracker
from training.tracking.tensorboard import TensorBoard

_FLUSH_LINES = 20
_BYTES_PER_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """One line of metrics.jsonl; rates are over all ranks, shares and seconds those of rank 0.

    `step` counts from 1; `padding_share` is the share of padded cells of a batch that hold no token,
    `allreduce_share` the share of the step's `seconds` spent waiting for the ring, `reader_share` for the batch.
    """

    step: int
    epoch: int
    loss: float
    learning_rate: float
    grad_norm: float
    samples_per_second: float
    tokens_per_second: float
    padding_share: float
    allreduce_share: float
    reader_share: float
    seconds: float
    memory_rss_mb: float


def memory_rss_mb() -> float:
    """Resident memory of this process in MB."""
    return float(psutil.Process().memory_info().rss) / _BYTES_PER_MB


class MetricsLog:
    """Appends to the curves of a training directory.

    Args:
        directory: the training directory.
        done: steps that the resumed checkpoint has seen; what an interrupted run wrote after
            it is dropped, because those steps are taken again.
        trackers: get the same values, and first those of earlier runs, of which they may lack some; they are not
            closed here.
    """

    def __init__(self, directory: str, *, done: int, trackers: Sequence[Tracker] = ()) -> None:
        self._pending: list[dict[str, Any]] = []
        self._steps = _LineFile(storage.join(directory, "metrics.jsonl"), done)
        self._validation = _LineFile(storage.join(directory, "validation.jsonl"), done)
        self._events = TensorBoard(directory, done=done)
        self._trackers = trackers
        if trackers and done:
            steps, evaluations = self._steps.rows(), self._validation.rows()
            for row in evaluations:
                del row["total_steps"]
            for tracker in trackers:
                tracker.log("train", steps)
                tracker.log("validation", evaluations)

    def write(self, metrics: StepMetrics) -> None:
        """Add one step."""
        values = asdict(metrics)
        self._pending.append(values)
        self._events.log("train", [values])
        if len(self._pending) >= _FLUSH_LINES:
            self.flush()

    def write_validation(self, step: int, total_steps: int, values: dict[str, float]) -> None:
        """Add the figures of the validation split after a step of the training's `total_steps`, at once."""
        self._validation.append([{"step": step, "total_steps": total_steps, **values}])
        row = {"step": step, **values}
        self._events.log("validation", [row])
        for tracker in self._trackers:
            tracker.log("validation", [row])

    def flush(self) -> None:
        """Bring all lines to where they belong."""
        self._steps.append(self._pending)
        if self._pending:
            for tracker in self._trackers:
                tracker.log("train", self._pending)
        self._pending = []

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._events.close()


class _LineFile:
    """Lines of JSON, each with its step; those of steps after `done` are dropped where the file is taken up again."""

    def __init__(self, uri: str, done: int) -> None:
        self.uri = uri
        kept = [line for line in self._read() if (step := _step_of(line)) is not None and step <= done]
        storage.replace(uri, b"".join(kept))

    def rows(self) -> list[dict[str, Any]]:
        """What the lines say."""
        return [json.loads(line) for line in self._read()]

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append on a disk; an object store gets the whole file anew."""
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        local = storage.local_path(self.uri)
        if local is None:
            storage.replace(self.uri, b"".join([*self._read(), lines]))
            return
        with told_when_full(self.uri, len(lines)), local.open("ab") as handle:
            handle.write(lines)

    def _read(self) -> list[bytes]:
        return storage.read_bytes(self.uri).splitlines(keepends=True) if storage.exists(self.uri) else []


def _step_of(line: bytes) -> int | None:
    """Step of a line, or None where a killed process left it unfinished."""
    try:
        return int(json.loads(line)["step"])
    except ValueError:
        return None
