"""Every backend of a published classifier on one thread: rows per second, agreement with fp32, what batches change.

`python -m benchmarks.backends MODEL SHARDS [ROWS]` prints a line for each backend, with two speeds: of wall time, the
fastest of three short passes, and of CPU time over all rows, which other processes of the machine disturb less.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mapring.contract import read_manifest
from mapring.settings.backends import BACKENDS, BackendName
from spark_jobs.backends.candidates import Candidates, Floats, all_logits, speed
from spark_jobs.backends.gate import Figures, compare
from spark_jobs.backends.probe import CALIBRATION_ROWS, GATE_ROWS
from spark_jobs.backends.rows import read_rows

_ROWS_ALONE = 64
_BATCH_TOKENS = 2048


class Measured(NamedTuple):
    """One backend; speeds in rows per second."""

    name: BackendName
    of_wall_time: float
    of_cpu_time: float
    figures: Figures


def measure(model: str, shards: str, rows: int = GATE_ROWS) -> Iterator[Measured]:
    """Measure all backends, torch first; `model` and `shards` are published directories on this machine."""
    manifest = read_manifest(shards)
    validation = read_rows(shards, manifest, "validation", rows)
    with tempfile.TemporaryDirectory() as folder:
        candidates = Candidates(
            model=read_manifest(model),
            local=Path(model),
            folder=Path(folder),
            calibration=read_rows(shards, manifest, "train", CALIBRATION_ROWS).input_ids,
            threads=1,
            device="cpu",
            batch_tokens=_BATCH_TOKENS,
        )
        reference: Floats | None = None
        for name in BACKENDS:
            forward = candidates.load(name)
            fastest = speed(forward, validation.input_ids)
            start = time.process_time()
            logits = all_logits(forward, validation.input_ids)
            seconds = time.process_time() - start
            alone = np.concatenate([all_logits(forward, [row]) for row in validation.input_ids[:_ROWS_ALONE]])
            reference = logits if reference is None else reference
            figures = compare(reference, logits, validation.label_ids, alone)
            yield Measured(name, fastest, len(logits) / seconds, figures)


def main() -> None:
    """Print the lines."""
    model, shards, *rest = sys.argv[1:]
    for name, of_wall_time, of_cpu_time, figures in measure(model, shards, *map(int, rest)):
        sys.stdout.write(
            f"{name:20} {of_wall_time:6.0f} docs/s, {of_cpu_time:6.0f} of CPU time; {figures.in_words()}; "
            f"largest difference {figures.largest_difference:.3f}, between batches {figures.batch_difference:.1e}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
