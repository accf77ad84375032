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

from benchmarks.results import figure, table, write_figures
from mapring.contract import read_manifest
from mapring.plan import make_plan

CONFIG = "conf/demo.yaml"


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
    figures = [
        figure("demo_minutes", first / 60, 6, "minutes", better="lower"),
        figure("demo_accuracy_minus_tfidf", gain, 0.05, "share", peer="TF-IDF + logistic regression"),
        figure("demo_second_run_seconds", second, 20, "s", better="lower"),
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
