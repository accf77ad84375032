"""Training against its peers: `python -m benchmarks.training [NAME ...]`.

A NAME measures one part only (ring, trainer, bandwidth, readers, kills, elastic) and leaves the other figures. Runs of
both sides take turns on the same machine; two ranks have one thread each.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from benchmarks.bandwidth import bandwidth_figures
from benchmarks.results import Figure, merge_figures, table
from benchmarks.ring_speed import ring_figures
from benchmarks.sentences import ROOT
from benchmarks.trainer_speed import trainer_figures
from benchmarks.training_faults import elastic_figures, training_fault_figures


def main() -> int:
    """Measure what is asked for and write results/training.json; returns the exit code."""
    subprocess.run([str(ROOT / "benchmarks/peers/setup.sh")], check=True)
    wanted = sys.argv[1:] or list(PARTS)
    found: list[Figure] = []
    for name in wanted:
        found.extend(PARTS[name]())
        merge_figures("training", found)
    sys.stdout.write(f"{table(found)}\n")
    return 0


def _readers() -> list[Figure]:
    from benchmarks.readers import reader_figures

    return reader_figures()


PARTS: dict[str, Callable[[], list[Figure]]] = {
    "ring": ring_figures,
    "trainer": trainer_figures,
    "bandwidth": bandwidth_figures,
    "readers": _readers,
    "kills": training_fault_figures,
    "elastic": elastic_figures,
}


if __name__ == "__main__":
    sys.exit(main())
