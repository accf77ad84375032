"""The demo on real data, twice: better than its baselines, then nothing to do. `make test-slow` fetches the data."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mapring.contract import read_manifest
from mapring.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
MAPRING = str(Path(sys.executable).parent / "mapring")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_beats_its_baselines_and_its_second_run_does_nothing(tmp_path: Path) -> None:
    words = [MAPRING, "run", "conf/demo.yaml", f"run_dir={tmp_path}"]
    first = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    for part in ("rows", "loss", "ETA", "docs/s", "samples/s"):
        assert part in first.stderr, "progress is shown all along"
    plan = make_plan(str(ROOT / "conf/demo.yaml"), [f"run_dir={tmp_path}"])
    evaluation = read_manifest(plan.model_directory).details["evaluation"]
    baselines = evaluation["baselines"]
    assert evaluation["test"]["accuracy"] >= baselines["tfidf_logistic_regression"]["accuracy"] + 0.05
    assert baselines["tfidf_logistic_regression"]["accuracy"] > baselines["majority"]["accuracy"] + 0.1

    began = time.monotonic()
    second = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - began < 20
    assert second.stderr.count("skipped: ") == 3
    verified = subprocess.run([MAPRING, "verify", str(tmp_path)], capture_output=True, text=True, check=True)
    assert verified.stdout.count(": ok\n") >= 4
