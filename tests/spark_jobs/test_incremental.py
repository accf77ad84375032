"""Scoring again and again: what is new is scored, what changed is replaced, nothing is there twice or lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import spark_jobs.score as module
from mapring.errors import StageError
from mapring.scores.seal import sealed_versions
from mapring.scores.table import read_table
from mapring.scores.work import find_work
from pipelines.dry_run import print_work
from pipelines.scores import roll_back, vacuum
from pipelines.stages import published
from spark_jobs import scored_inputs
from spark_jobs.score import score
from tests.spark_jobs.scored_world import World, overtake_once

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def counted(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {path: sum(row["path"] == path for row in rows) for path in {row["path"] for row in rows}}


def test_new_changed_and_removed_inputs(world: World) -> None:
    world.add("b", 5)
    first = world.score("score.rows_per_file=100")
    assert counted(first) == {"a.txt": 30, "b.txt": 5}
    late = world.add("c", 7)
    os.utime(late, (0, 0))  # older than all that was scored: no clock has a say
    second = world.score()
    assert counted(second) == {"a.txt": 30, "b.txt": 5, "c.txt": 7}
    assert [row for row in second if row["path"] != "c.txt"] == first, "rows keep their run and time"
    world.add("b", 3, first=500)
    third = world.score()
    assert counted(third) == {"a.txt": 30, "b.txt": 3, "c.txt": 7}, "a.txt was in one file with b.txt"
    assert [row for row in third if row["path"] != "b.txt"] == [row for row in second if row["path"] != "b.txt"]
    late.unlink()
    assert counted(world.score()) == {"a.txt": 30, "b.txt": 3, "c.txt": 7}
    assert counted(world.score("score.removed_inputs=drop")) == {"a.txt": 30, "b.txt": 3}
    assert DeltaTable(world.plan().run.scores).version() == 3
    assert published("score", world.plan()) is not None, "known without Spark"


def test_an_input_that_is_emptied_leaves_the_table_and_is_not_read_again(world: World) -> None:
    world.add("b", 5)
    world.score()
    (world.root / "days" / "b.txt").write_text("")
    assert counted(world.score()) == {"a.txt": 30}
    version = DeltaTable(world.plan().run.scores).version()
    world.add("c", 0)
    assert counted(world.score()) == {"a.txt": 30}
    assert DeltaTable(world.plan().run.scores).version() == version
    assert published("score", world.plan()) is not None


def test_another_model_for_all_rows_or_for_new_ones_and_back_again(world: World) -> None:
    other = "0123456789abcdef"
    world.publish(other, seed=2)
    first = world.score()
    world.add("b", 5)
    mixed = world.score(f"score.model={other!r}", "score.new_model=new_rows")
    assert {(row["path"], row["model_fingerprint"]) for row in mixed} == {("a.txt", world.model), ("b.txt", other)}
    rescored = world.score(f"score.model={other!r}")
    assert {row["model_fingerprint"] for row in rescored} == {other} and counted(rescored) == {"a.txt": 30, "b.txt": 5}
    assert [row["score"] for row in rescored[:30]] != [row["score"] for row in first]
    with pytest.raises(StageError, match="give the fingerprint of a model that is published"):
        world.score("score.model='ffffffffffffffff'")
    roll_back(str(world.config), 0)
    assert world.rows(world.plan()) == first
    back = world.score()
    assert counted(back) == {"a.txt": 30, "b.txt": 5} and {row["model_fingerprint"] for row in back} == {world.model}
    assert back[:30] == first, "what came back is not scored again"
    with pytest.raises(StageError, match="found no version 99, expected 0 to"):
        roll_back(str(world.config), 99)


def test_a_window_backfills_and_rescore_scores_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name, moment in (("b", 86400 * 10), ("c", 86400 * 20)):
        os.utime(world.add(name, 4), (moment, moment))
    os.utime(world.root / "days" / "a.txt", (0, 0))
    window = ("score.since=1970-01-05", "score.until=1970-01-15T00:00")
    print_work(world.plan(*window))
    told = capsys.readouterr().out
    assert "1 inputs to score (1 new), 0 unchanged, 2 outside" in " ".join(told.split()) and "b.txt" in told
    assert read_table(world.plan().run.scores) is None, "a dry run writes nothing"
    first = world.score(*window)
    assert counted(first) == {"b.txt": 4}
    again = world.score(*window, "score.rescore=true")
    assert {row["run_id"] for row in first}.isdisjoint({row["run_id"] for row in again})
    assert [row["score"] for row in first] == pytest.approx([row["score"] for row in again], abs=1e-6)
    assert counted(world.score()) == {"a.txt": 30, "b.txt": 4, "c.txt": 4}


def test_two_runs_at_once_that_score_other_inputs_both_come_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, moment in (("b", 86400 * 10), ("c", 86400 * 20)):
        os.utime(world.add(name, 4), (moment, moment))
    os.utime(world.root / "days" / "a.txt", (0, 0))
    world.score("score.until=1970-01-05")
    overtake_once(monkeypatch, lambda: score(world.plan("score.since=1970-01-15")))
    rows = world.score("score.since=1970-01-05", "score.until=1970-01-15")
    assert counted(rows) == {"a.txt": 30, "b.txt": 4, "c.txt": 4}


def test_of_two_runs_at_once_that_rescore_the_same_input_the_later_one_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.score()
    overtake_once(monkeypatch, lambda: score(world.plan("score.rescore=true")))
    score(world.plan("score.rescore=true"))
    assert counted(world.rows(world.plan())) == {"a.txt": 30}
    assert DeltaTable(world.plan().run.scores).version() == 2
    assert find_work(world.plan("score.rescore=true"), is_look=True)[1].is_done, "a look rescores nothing"


def test_a_table_that_takes_no_removals_says_so(world: World) -> None:
    world.score()
    DeltaTable(world.plan().run.scores).alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(StageError, match=r"nothing can be committed to the table: .*append"):
        score(world.plan("score.rescore=true"))


def test_killed_runs_are_sealed_by_the_next_one_also_when_that_has_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "seal", lambda uri, version: None)
    score(world.plan())
    world.add("b", 2)
    score(world.plan())
    monkeypatch.undo()
    world.add("c", 2)
    world.score()
    assert sealed_versions(world.plan().run.scores) == {0, 1, 2}


def test_an_input_that_changes_while_it_is_scored_is_not_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = scored_inputs.write_scores

    def write_then_change(*given: Any, **named: Any) -> Any:
        written = real(*given, **named)
        world.add("a", 30, first=900)
        return written

    monkeypatch.setattr(scored_inputs, "write_scores", write_then_change)
    with pytest.raises(StageError, match=r"a\.txt: changed while it was read"):
        score(world.plan())
    assert read_table(world.plan().run.scores) is None
    monkeypatch.undo()
    assert counted(world.score()) == {"a.txt": 30}


def test_vacuum_removes_files_of_dead_runs_and_no_other(world: World) -> None:
    plan = world.plan()
    before = world.score()
    world.add("a", 20)
    after = world.score()
    dead = Path(plan.run.scores, "data", "dead-00000-0123456789abcdef.parquet")
    dead.write_bytes(b"half")
    vacuum(str(world.config), 168, dry_run=False)
    assert dead.exists(), "it may be of a run that is under way"
    vacuum(str(world.config), 0, dry_run=True)
    assert dead.exists()
    vacuum(str(world.config), 0, dry_run=False)
    assert not dead.exists() and world.rows(plan) == after != before
    with pytest.raises(StageError, match="cannot go back to version 0"):
        roll_back(str(world.config), 0)
    assert published("score", world.plan()) is not None
    score(world.plan())
    assert world.rows(plan) == after


def test_a_table_that_others_rewrote_is_still_its_own_ledger(world: World) -> None:
    """Delta's compaction makes other files without statistics of ours; what they hold is read from their rows."""
    world.add("b", 5)
    before = world.score("score.rows_per_file=4")
    DeltaTable(world.plan().run.scores).optimize.compact()
    table = read_table(world.plan().run.scores)
    assert table is not None and len(table.files) == 1
    assert published("score", world.plan()) is not None
    world.add("b", 2, first=700)
    after = world.score()
    assert counted(after) == {"a.txt": 30, "b.txt": 2} and after[:30] == before[:30]


def test_a_table_of_another_kind_is_refused(world: World) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    write_deltalake(world.plan().run.scores, pa.table({"a": [1]}))
    with pytest.raises(StageError, match="found a table with other columns than mapring's, expected one that"):
        score(world.plan())
