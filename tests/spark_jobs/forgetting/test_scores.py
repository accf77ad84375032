"""Rows out of the scores table: gone from every file, whatever moment a kill or another commit comes at."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable

from mapring.contract import write_file
from mapring.plan import Plan, make_plan
from mapring.scores.empty import known_empty
from mapring.scores.seal import seal, sealed_versions
from mapring.scores.table import read_table
from mapring.scores.verify import verify_scores
from mapring.scores.work import find_work
from mapring.watch.counting import Counting
from mapring.watch.stored import read_counts, read_groups
from spark_jobs.forgetting import scores
from spark_jobs.forgetting.scores import Wanted, count_rows, remove_dead_files, take_out_rows
from tests.mapring.care.test_removal import Killed
from tests.pipelines.committed import commit_answers
from tests.tiny import write_world


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A table of four rows: two of one text, as their hashes say."""
    config, _ = write_world(tmp_path)
    plan = make_plan(config)
    commit_answers(plan, [{"label": "positive", "content_hash": text} for text in ("h1", "h2", "h1", "h3")])
    seal(plan.run.scores, 0)
    return plan


def wanted(plan: Plan, *doc_ids: str, hashes: str = "", identity: str | None = None) -> Wanted:
    [file] = plan.score_sources
    return Wanted(frozenset((name, identity or file.identity) for name in doc_ids), frozenset(hashes.split()))


def left(plan: Plan) -> list[str]:
    assert verify_scores(plan.run.scores) == []
    return sorted(row["doc_id"] for row in DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist())


def in_files(plan: Plan) -> set[str]:
    """Ids in all files that lie below the table, live or not."""
    files = Path(plan.run.scores).rglob("*.parquet")
    return {doc_id for file in files for doc_id in pq.read_table(file, columns=["doc_id"]).column(0).to_pylist()}


def forget(plan: Plan, found: Wanted, forgotten: str = "f1") -> tuple[int, int]:
    uri = plan.run.scores
    return take_out_rows(uri, found, forgotten), remove_dead_files(uri, found)[0]


def test_a_row_and_those_of_its_text_are_gone_from_the_table_and_from_all_files(plan: Plan) -> None:
    found = wanted(plan, "2", hashes="h1")
    assert count_rows(plan.run.scores, found) == 3
    write_file(
        plan.run.scores, "data/of-a-killed-run.parquet", next(Path(plan.run.scores).rglob("*.parquet")).read_bytes()
    )
    assert forget(plan, found) == (3, 2)
    assert left(plan) == ["4"] and in_files(plan) == {"4"}
    assert {0, 1} <= sealed_versions(plan.run.scores)
    version = DeltaTable(plan.run.scores).version()
    assert forget(plan, found) == (0, 0) and DeltaTable(plan.run.scores).version() == version, "once is enough"
    with pytest.raises(OSError, match="part-0"):
        DeltaTable(plan.run.scores, version=0).to_pyarrow_table()


@pytest.mark.parametrize("is_killed", [False, True])
def test_counts_that_tell_its_group_are_gone_with_the_file(
    plan: Plan, is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = plan.run.scores
    table = read_table(uri)
    assert table is not None
    counting = Counting(window=datetime.timedelta(days=1), by_group=True)
    read_counts(table, counting)
    read_groups(table, counting)
    assert len(list(Path(uri, "_counts").iterdir())) == 2
    if is_killed:
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(scores.storage, "remove_file", killed)
            forget(plan, wanted(plan, "2"))
    assert forget(plan, wanted(plan, "2")) == (0 if is_killed else 1, 1)
    assert list(Path(uri, "_counts").iterdir()) == []


def killed(*_values: object) -> None:
    raise Killed


def test_what_was_scored_stays_scored_and_the_plan_wants_nothing(plan: Plan) -> None:
    forget(plan, wanted(plan, "1", "2", "3"))
    assert left(plan) == ["4"] and find_work(plan)[1].is_done
    forget(plan, wanted(plan, "4"), "f2")
    assert left(plan) == [] and find_work(plan)[1].is_done and len(known_empty(plan.run.scores)) == 1


def test_an_id_stands_for_another_document_once_its_file_has_changed(plan: Plan) -> None:
    assert forget(plan, wanted(plan, "2", identity="sha256:older")) == (0, 0)
    assert left(plan) == ["1", "2", "3", "4"]
    assert forget(plan, wanted(plan, "2", hashes="h2", identity="sha256:older"), "f2") == (1, 1)


def test_a_scoring_under_way_is_overtaken_even_where_there_is_no_row_yet(plan: Plan) -> None:
    before = read_table(plan.run.scores)
    assert before is not None
    assert forget(plan, wanted(plan, "9")) == (0, 0)
    after = read_table(plan.run.scores)
    assert after is not None and after.version == before.version + 1 and after.files == before.files


def test_another_commit_in_between_is_looked_at_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    real = scores._rewrite

    def overtaken(*values: object) -> int:
        monkeypatch.setattr(scores, "_rewrite", real)
        delta = DeltaTable(plan.run.scores)
        properties = CommitProperties(custom_metadata={"mapring.restored": "0"}, max_commit_retries=0)
        delta.create_write_transaction([], "append", delta.schema(), commit_properties=properties)
        return real(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(scores, "_rewrite", overtaken)
    assert forget(plan, wanted(plan, "2")) == (1, 1)
    assert left(plan) == ["1", "3", "4"] and DeltaTable(plan.run.scores).version() == 2


@pytest.mark.parametrize("moment", ["write_file", "seal", "remember_empty", "_is_of", "remove_file"])
def test_killed_at_any_moment_the_same_command_ends_the_same(
    plan: Plan, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = wanted(plan, "2", hashes="h1") if moment != "remember_empty" else wanted(plan, "1", "2", "3", "4")

    monkeypatch.setattr(scores.storage if moment == "remove_file" else scores, moment, killed)
    with pytest.raises(Killed):
        forget(plan, found)
    monkeypatch.undo()
    assert verify_scores(plan.run.scores) == []
    forget(plan, found)
    expected = ["4"] if moment != "remember_empty" else []
    assert left(plan) == expected and in_files(plan) == set(expected)
