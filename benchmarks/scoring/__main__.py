"""Scoring against its peers: `python -m benchmarks.scoring [NAME ...]`.

A NAME measures one part only (peers, table, kills) and leaves the other figures. All sides score the same
texts with the same fine-tuned model on two cores, each in processes of its own; they take turns, and medians of three
are compared. What was measured is noted; `python -m benchmarks.scoring.page` makes the tables of docs/scoring.md of it.

`SCORING_ROWS=512 python -m benchmarks.scoring` tries all that once, with fewer texts, and `SCORING_MODEL=<directory>`
with a model that is there already; what such a trial finds goes to build/benchmarks/scoring and into no result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.parts import measure
from benchmarks.results import FOLDER, Figure
from benchmarks.scoring.ground import HOME, IS_TRIAL
from benchmarks.scoring.kills import kill_figures
from benchmarks.scoring.peers import peer_figures
from benchmarks.scoring.table import table_figures

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "peers": peer_figures,
    "table": table_figures,
    "kills": kill_figures,
}

if __name__ == "__main__":
    sys.exit(measure("scoring", PARTS, peers=("ray",), folder=HOME if IS_TRIAL else FOLDER))
