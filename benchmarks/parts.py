"""A benchmark's command line: the parts named there, or all, into one result file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.results import Figure, merge_figures, table

ROOT = Path(__file__).resolve().parents[1]


def measure(result: str, parts: Mapping[str, Callable[[], list[Figure]]], *, with_peers: bool = True) -> int:
    """Measure the parts that the command line names, and write `results/<result>.json`, which keeps its other figures.

    Peers are installed first, where any of the parts needs them.

    Returns:
        The exit code.
    """
    if with_peers:
        subprocess.run([str(ROOT / "benchmarks/peers/setup.sh")], check=True)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # some parts run Spark in this process
    found: list[Figure] = []
    for name in sys.argv[1:] or list(parts):
        found.extend(parts[name]())
        merge_figures(result, found)
    sys.stdout.write(f"{table(found)}\n")
    return 0
