"""Scoring a corpus of which half the rows repeat a text, beside one as large in which none does.

`python -m benchmarks.operations duplicates` takes real sentences and a fine-tuned encoder. Each sentence stands twice,
with a number behind it: in one corpus the same one, in the other another one of as many digits, so that both have the
same number of rows of the same lengths, and only the equality of texts differs. They take turns; what is compared is
the scoring job as the table's log has it, with the loading of the model, without Spark's start and the reading.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.operations.pipeline import write_pipeline
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.scoring.ground import HOME, IS_TRIAL, ROWS, Ground, ground
from benchmarks.sentences import LOGS, ROOT, our_environment
from mapring.scores.table import latest_commit

ROUNDS = 1 if IS_TRIAL else 3
_HOME = HOME.parent / "operations"
_SIDES = ("repeated", "different")


def duplicate_figures() -> list[Figure]:
    """How many times as fast rows are scored where half of them repeat a text."""
    place = ground()
    configs = {side: _write_side(place, side) for side in _SIDES}
    speeds: dict[str, list[float]] = {side: [] for side in _SIDES}
    for _ in range(ROUNDS):
        for side, config in configs.items():
            speeds[side].append(_rows_per_second(side, config))
    speedup = statistics.median(speeds["repeated"]) / statistics.median(speeds["different"])
    return [figure("duplicate_fanout_speedup", speedup, 1.5, "times")]


def numbered(texts: list[str], side: str) -> list[str]:
    """Each text twice with a number of the same digits behind it, in an order that knows neither."""
    first = 10 ** len(str(2 * len(texts)))
    again = 0 if side == "repeated" else len(texts)
    rows = [f"{text} {first + number + shift}" for shift in (0, again) for number, text in enumerate(texts)]
    random.Random(17).shuffle(rows)
    return rows


def _write_side(place: Ground, side: str) -> str:
    """A corpus and a pipeline that scores it with the model of the benchmark; its config."""
    home = _HOME / f"duplicates-{side}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    rows = numbered(pq.read_table(place.texts).column("text").to_pylist()[: ROWS // 2], side)
    pq.write_table(pa.table({"text": rows}), home / "rows.parquet")
    source = {"name": "rows", "path": str(home / "rows.parquet"), "format": "parquet"}
    return write_pipeline(place, home, f"duplicates-{side}", {"score": {"inputs": [source]}})


def _rows_per_second(side: str, config: str) -> float:
    words = [str(Path(sys.executable).parent / "mapring"), "score", config, "score.rescore=true"]
    run(words, log=LOGS / f"duplicates-{side}.log", cwd=ROOT, environment=our_environment())
    commit = latest_commit(str(Path(config).parent / "run" / "scores"))
    assert commit is not None
    computed, rows = commit.counts["computed"], commit.counts["scored"]
    assert computed == rows / 2 if side == "repeated" else computed == rows, f"{computed} of {rows} texts were computed"
    return commit.documents_per_second
