"""Watching: tenths are judged once each, broken lines wait, and a hopeless process is asked to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.tuning import watching
from pipelines.tuning.leftovers import end_leftovers
from pipelines.tuning.watching import Watcher


def line(step: int, loss: float, total: int = 30) -> str:
    return json.dumps({"step": step, "total_steps": total, "loss": loss}) + "\n"


def test_each_tenth_is_judged_once_by_its_first_evaluation(tmp_path: Path) -> None:
    judged: list[tuple[int, float]] = []

    def judge(percent: int, value: float) -> bool:
        judged.append((percent, value))
        return percent == 100

    watcher = Watcher(str(tmp_path), "loss", judge)
    assert not watcher.look()
    file = tmp_path / "validation.jsonl"
    file.write_text(line(2, 9.0) + line(4, 3.0) + line(5, 2.0) + line(10, 1.0)[:-9])
    assert not watcher.look() and judged == [(10, 3.0)]
    file.write_text(line(2, 9.0) + line(4, 3.0) + line(5, 2.0) + line(10, 1.0) + line(12, float("nan")) + line(30, 4.0))
    assert not watcher.look(), "one that is at its end is not ended"
    assert judged == [(10, 3.0), (30, 1.0), (100, 4.0)]
    other = Watcher(str(tmp_path), "accuracy", judge)
    assert not other.look() and len(judged) == 3


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_hopeless_training_gets_sigterm_and_a_deaf_one_sigkill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_deaf: bool
) -> None:
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "_STOP_SECONDS", 0.5)
    ignored = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if is_deaf else ""
    code = f"import signal, time; {ignored} print('there', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    watcher = Watcher(str(tmp_path), "loss", lambda percent, value: value > 1)
    watcher.start(process.pid)
    (tmp_path / "validation.jsonl").write_text(line(15, 0.5) + line(18, 2.0))
    code_found = process.wait(60)
    watcher.close()
    process.stdout.close()
    assert code_found == -(signal.SIGKILL if is_deaf else signal.SIGTERM)
    assert watcher.ended_at == 60


def test_what_a_killed_search_left_running_is_ended_and_nothing_else() -> None:
    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words])

    line = ("-m", "training.train", "--config", "left.yaml")
    mine = start(*line, "tune.trials=6", "train.seed=1", "train.epochs=2", "train.baselines=false")
    others = [
        start(*line, "train.seed=1", "train.epochs=3", "train.baselines=false"),
        start(*line, "train.epochs=2", "train.baselines=false"),
        start(*line, "train.seed=1", "train.epochs=2", "train.baselines=false", "train.global_batch=8"),
        start(*line[:-1], "other.yaml", "train.seed=1", "train.epochs=2", "train.baselines=false"),
    ]
    try:
        words = ["train.seed=1", "tune.trials=9", "train.epochs=2", "train.baselines=false"]
        assert end_leftovers("left.yaml", words) == 1
        mine.wait(60)
        assert [process.poll() for process in others] == [None] * 4
    finally:
        for process in (mine, *others):
            process.kill()
            process.wait()
