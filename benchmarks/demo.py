"""How long the demo takes from raw text to scores, how good its model is, and how fast a second run is.

`python -m benchmarks.demo` runs the pipeline in a new run directory, twice, and writes results/demo.json.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import Figure, machine, table, today, write_figures
from mapring.contract import read_manifest
from mapring.plan import make_plan

CONFIG = "conf/demo.yaml"
COMMAND = "make bench"


def main() -> int:
    """Measure and write; returns the exit code."""
    mapring = str(Path(sys.executable).parent / "mapring")
    run_dir = tempfile.mkdtemp(prefix="mapring-demo-")
    try:
        words = [mapring, "run", CONFIG, f"run_dir={run_dir}"]
        first, second = _seconds(words), _seconds(words)
        plan = make_plan(CONFIG, [f"run_dir={run_dir}"])
        evaluation = read_manifest(plan.model_directory).details["evaluation"]
    finally:
        shutil.rmtree(run_dir)
    gain = evaluation["test"]["accuracy"] - evaluation["baselines"]["tfidf_logistic_regression"]["accuracy"]
    common = {"command": COMMAND, "date": today(), "machine": machine()}
    peer = "TF-IDF + logistic regression"
    figures = [
        Figure(name="demo_minutes", value=first / 60, goal=6, better="lower", unit="minutes", peer=None, **common),
        Figure(
            name="demo_accuracy_minus_tfidf", value=gain, goal=0.05, better="higher", unit="share", peer=peer, **common
        ),
        Figure(name="demo_second_run_seconds", value=second, goal=20, better="lower", unit="s", peer=None, **common),
    ]
    write_figures("demo", figures)
    sys.stdout.write(f"{table(figures)}\n")
    return 0


def _seconds(words: list[str]) -> float:
    start = time.monotonic()
    subprocess.run(words, check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
