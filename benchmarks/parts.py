"""A benchmark's command line: the parts named there, or all, into one result file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.results import FOLDER, Figure, merge_figures, table

ROOT = Path(__file__).resolve().parents[1]


def measure(
    result: str,
    parts: Mapping[str, Callable[[], list[Figure]]],
    *,
    with_peers: bool = True,
    peers: Sequence[str] = (),
    folder: Path = FOLDER,
) -> int:
    """Measure the parts that the command line names, and write `results/<result>.json`, which keeps its other figures.

    Args:
        result: name of the result file.
        parts: what can be measured, by name.
        with_peers: whether any part needs peers, which are installed first.
        peers: those that are needed; none stands for all.
        folder: of the result file.

    Returns:
        The exit code.
    """
    if with_peers:
        subprocess.run([str(ROOT / "benchmarks/peers/setup.sh"), *peers], check=True)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # some parts run Spark in this process
    found: list[Figure] = []
    for name in sys.argv[1:] or list(parts):
        found.extend(parts[name]())
        merge_figures(result, found, folder)
    sys.stdout.write(f"{table(found)}\n")
    return 0
