"""Training against its peers: `python -m benchmarks.training [NAME ...]`.

A NAME measures one part only (ring, trainer, bandwidth, readers, kills, elastic) and leaves the other figures. Runs of
both sides take turns on the same machine; two ranks have one thread each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.bandwidth import bandwidth_figures
from benchmarks.parts import measure
from benchmarks.readers import reader_figures
from benchmarks.results import Figure
from benchmarks.ring_speed import ring_figures
from benchmarks.trainer_speed import trainer_figures
from benchmarks.training_faults import elastic_figures, training_fault_figures

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "ring": ring_figures,
    "trainer": trainer_figures,
    "bandwidth": bandwidth_figures,
    "readers": reader_figures,
    "kills": training_fault_figures,
    "elastic": elastic_figures,
}


if __name__ == "__main__":
    sys.exit(measure("training", PARTS))
