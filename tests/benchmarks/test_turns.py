"""Trainings that take turns: one runs at a time, and only steps within a turn count."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import turns
from benchmarks.intervals import Seconds
from benchmarks.turns import Contender, seconds_within, take_turns

STEPS = """
import sys, time
with open(sys.argv[1], "a") as file:
    for _ in range(100):
        time.sleep(0.02)
        print(time.time(), file=file, flush=True)
"""


def contender(path: Path, program: str = STEPS) -> Contender:
    def steps_done() -> int:
        return len(path.read_text().splitlines()) if path.exists() else 0

    return Contender([([sys.executable, "-c", program, str(path)], path.with_suffix(".log"))], {}, steps_done, 1, 100)


def test_one_runs_at_a_time_and_all_come_to_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_TURN_SECONDS", 0.4)
    contenders = [contender(tmp_path / name) for name in ("one", "other")]
    take_turns(contenders, tmp_path)
    ends: list[Seconds] = [np.loadtxt(tmp_path / name) for name in ("one", "other")]
    assert [len(found) for found in ends] == [100, 100]
    assert min(len(found.turns) for found in contenders) > 1
    for mine, own, other in zip(ends, contenders, reversed(contenders), strict=True):
        within = np.isfinite(seconds_within(own.turns, mine))
        assert 20 < within.sum() < 99
        assert not np.isfinite(seconds_within(other.turns, mine)).any()
        assert np.diff(mine)[within].max() < 0.4


def test_what_fails_ends_the_others_and_names_its_log(tmp_path: Path) -> None:
    contenders = [contender(tmp_path / "one"), contender(tmp_path / "other", "raise SystemExit(3)")]
    with pytest.raises(RuntimeError, match=r"exit code 3; see .*other\.log"):
        take_turns(contenders, tmp_path)
    assert contenders[0].processes[0].wait(10) == -9


def test_steps_across_two_turns_do_not_count() -> None:
    found = seconds_within([(0.0, 2.0), (5.0, 7.0)], np.array([0.5, 1.0, 1.9, 5.5, 6.0, 7.5]))
    assert found.tolist() == pytest.approx([0.5, 0.9, float("nan"), 0.5, float("nan")], nan_ok=True)
