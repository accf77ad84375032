"""A first use: from a csv that nobody has described to scores, by `mapring init` and `mapring run`.

In an empty directory with the demo's tweets (3,761 rows of id, text, label), so that it needs nothing given. Beside
the minutes it is told how good the model is that comes out of guesses alone.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.parts import ROOT
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import LOGS
from mapring.contract import read_manifest
from mapring.run_directory import RunDirectory
from mapring.scores.table import read_table
from scripts.fetch_demo_data import TARGET
from scripts.fetch_demo_data import main as fetch_demo_data


def first_use_figures() -> list[Figure]:
    """Minutes from `mapring init` to scores, seconds of `mapring init`, and the accuracy over TF-IDF's.

    Raises:
        RuntimeError: a command failed, or not every row has a score.
    """
    if fetch_demo_data():
        raise RuntimeError("the demo's data cannot be fetched; see the line above")
    mapring = str(Path(sys.executable).parent / "mapring")
    place = Path(tempfile.mkdtemp(prefix="mapring-first-use-"))
    environment = {"PYTHONPATH": str(ROOT)}
    try:
        shutil.copy(TARGET / "tweets.csv", place)
        log, words = LOGS / "first-use-init.log", [mapring, "init", "tweets.csv"]
        started = run(words, log=log, cwd=place, environment=environment)
        log, words = LOGS / "first-use-run.log", [mapring, "run", "tweets.yaml"]
        ran = run(words, log=log, cwd=place, environment=environment)
        run_dir = place / "runs" / "tweets"
        table = read_table(RunDirectory(str(run_dir)).scores)
        if table is None or table.failed or not table.rows:
            raise RuntimeError(f"found no scores table, or rows without a score; see {log}")
        (model,) = (run_dir / "models").iterdir()
        evaluation = read_manifest(str(model)).details["evaluation"]
    finally:
        shutil.rmtree(place)
    gain = evaluation["test"]["accuracy"] - evaluation["baselines"]["tfidf_logistic_regression"]["accuracy"]
    minutes = (started.seconds + ran.seconds) / 60
    return [
        figure("init_to_scores_minutes", minutes, 8, "minutes", better="lower"),
        figure("init_seconds", started.seconds, 2, "s", better="lower"),
        figure("first_use_accuracy_minus_tfidf", gain, 0.05, "share", peer="TF-IDF + logistic regression"),
    ]
