"""Scoring that runs itself, measured: `python -m benchmarks.operations [NAME ...]`.

A NAME measures one part only (drift, surges, files, restarts, retrieval, duplicates) and leaves the other figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.operations.drift import drift_figures
from benchmarks.operations.duplicates import duplicate_figures
from benchmarks.operations.files import file_figures
from benchmarks.operations.restarts import restart_figures
from benchmarks.operations.retrieval import retrieval_figures
from benchmarks.operations.surges import surge_figures
from benchmarks.parts import measure
from benchmarks.results import FOLDER, Figure
from benchmarks.scoring.ground import HOME, IS_TRIAL

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "drift": drift_figures,
    "surges": surge_figures,
    "files": file_figures,
    "restarts": restart_figures,
    "retrieval": retrieval_figures,
    "duplicates": duplicate_figures,
}

if __name__ == "__main__":
    sys.exit(measure("operations", PARTS, with_peers=False, folder=HOME if IS_TRIAL else FOLDER))
