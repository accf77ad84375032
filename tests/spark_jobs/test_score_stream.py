"""Scoring as a stream that ends: a commit for each micro-batch, exactly once also after a kill between two of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from deltalake import DeltaTable

import spark_jobs.score_stream as module
from mapring.errors import SettingsError, StageError
from mapring.plan import Plan
from pipelines.scores import roll_back
from spark_jobs.score import score
from spark_jobs.score_stream import score_stream
from tests.spark_jobs.scored_world import World

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def paths(world: World) -> list[str]:
    return sorted({row["path"] for row in world.rows(world.plan())})


def test_files_come_in_by_micro_batches_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    for name in ("b", "c d%20#1?", "e"):  # as Spark's paths are, and URIs are not
        world.add(name, 4, first=100)
    plan = world.plan("score.files_per_batch=2")
    done: list[int] = []

    def score_once_then_fail(batch: Plan) -> None:
        score(batch)
        done.append(len(batch.score_sources))
        if len(done) == 1:
            raise StageError("after its commit, before Spark knew")

    monkeypatch.setattr(module, "score", score_once_then_fail)
    with pytest.raises(StageError, match="before Spark knew"):
        score_stream(plan)
    assert DeltaTable(plan.run.scores).version() == 0 and len(paths(world)) == 2
    score_stream(plan)
    assert done == [2, 2, 2], "the first one is handed over again, and finds nothing to do"
    assert paths(world) == ["a.txt", "b.txt", "c d%20#1?.txt", "e.txt"]
    assert DeltaTable(plan.run.scores).version() == 1
    os.utime(world.add("late", 3), (0, 0))
    score_stream(plan)
    assert DeltaTable(plan.run.scores).version() == 2 and "late.txt" in paths(world)
    before = world.rows(plan)
    score(world.plan())
    score_stream(plan)
    assert world.rows(plan) == before, "both forms know the same table"


def test_a_first_micro_batch_without_records_is_passed_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add("a", 0)
    world.add("b", 3)
    os.utime(tmp_path / "days" / "a.txt", (0, 0))
    score_stream(world.plan("score.files_per_batch=1"))
    assert paths(world) == ["b.txt"]


def test_what_is_asked_for_anew_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    score_stream(world.plan())
    assert "wait" not in capfd.readouterr().err
    world.add("b", 3)
    score_stream(world.plan("score.top_k=1"))
    assert "inputs wait that a stream does not hand over again (1 other settings)" in capfd.readouterr().err
    roll_back(world.plan().config, 0)
    score_stream(world.plan())
    assert "inputs wait that a stream does not hand over again (1 new)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("score.rescore=true", r"score\.rescore: found true, but a stream sees only what comes"),
        ("score.since=2026-01-01", r"score\.since: found '2026-01-01', but what a stream passes over"),
        ("score.removed_inputs=drop", r"score\.removed_inputs: found drop, but a stream sees only what comes"),
        ("score.inputs.0.path={days}/**/*.txt", r"score\.inputs\.0\.path: found \*\*"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(tmp_path: Path, override: str, said: str) -> None:
    world = World(tmp_path)
    with pytest.raises(SettingsError, match=said):
        score_stream(world.plan(override.format(days=tmp_path / "days")))
