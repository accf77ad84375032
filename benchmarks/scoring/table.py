"""`mapring score` on the texts: how much of what the model gets is padding, and how long a second run takes."""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from pathlib import Path

from benchmarks.models.trained import RING
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.scoring.ground import trained_plan
from benchmarks.scoring.sides import ROUNDS
from benchmarks.sentences import LOGS, ROOT, our_environment

_PADDING = re.compile(r"([\d.]+)% padding")


def table_figures() -> list[Figure]:
    """A scoring from nothing, and three that find its scores in the table."""
    plan = trained_plan()
    shutil.rmtree(plan.run.scores, ignore_errors=True)
    log = LOGS / "scoring-table.log"
    words = [str(Path(sys.executable).parent / "mapring"), "score", plan.config, *RING]
    run(words, log=log, cwd=ROOT, environment=our_environment())
    padding = padding_share(log.read_text())
    seconds = []
    for _ in range(ROUNDS):
        seconds.append(run(words, log=log, cwd=ROOT, environment=our_environment()).seconds)
        assert _PADDING.search(log.read_text()) is None, f"{log}: a second run has scored again"
    return [
        figure("padding_share", padding, 0.08, "share", better="lower"),
        figure("noop_run_seconds", statistics.median(seconds), 15, "s", better="lower"),
    ]


def padding_share(log: str) -> float:
    """What the stage says of its padding.

    Raises:
        ValueError: it says nothing of it.
    """
    found = _PADDING.search(log)
    if found is None:
        raise ValueError("the log of `mapring score` tells no padding; has the line that it ends with changed?")
    return float(found[1]) / 100
