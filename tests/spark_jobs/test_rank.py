"""The first rows of a scores table: the same as a plain sort finds, published once for each state of the table."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

import spark_jobs.rank as stage
from mapring.care.forgotten import ForgottenDocument, remember
from mapring.contract import Manifest, code_version, is_published, publish, read_manifest, utc_now
from mapring.contract.schemas import score_schema
from mapring.contract.verify import verify
from mapring.errors import SettingsError, StageError
from mapring.plan import Plan, make_plan
from mapring.scores.ranked import ranked_directory
from mapring.scores.table import read_table
from mapring.settings.rank import Rank
from pipelines.scores import roll_back
from pipelines.stages import published
from spark_jobs import top_rows as module
from spark_jobs.rank import rank
from spark_jobs.top_rows import ByColumn, top_rows
from tests.pipelines.committed import commit_answers
from tests.spark_jobs.retrieval.test_bank import plan_of as answered_plan
from tests.spark_jobs.retrieval.test_bank import write_bank
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

Row = dict[str, Any]


def made_rows() -> list[Row]:
    """500 rows of three groups, one of which has most; numbers tie, texts repeat, some have neither."""
    draw = random.Random(3)
    numbers = [None, math.nan, -0.0, *(number / 8 for number in range(40))]
    rows = [
        {
            "doc_id": f"{draw.getrandbits(64):016x}",
            "content_hash": draw.choice([None, *(f"text {text}" for text in range(150))]),
            "group": draw.choice(["much"] * 8 + ["little", None]),
            "number": draw.choice(numbers),
        }
        for _ in range(500)
    ]
    for row, other in pairwise(rows):  # a text about several groups has a row for each
        if row["group"] != other["group"]:
            other["doc_id"] = row["doc_id"]
    return list({(row["doc_id"], row["group"]): row for row in rows}.values())


def plain_sort(rows: list[Row], settings: Rank) -> list[tuple[Any, ...]]:
    """(group, rank, doc_id, number, rows) of the first rows, by a sort of everything; group only where ranked by it."""
    sign = -1 if settings.descending else 1
    given = [row for row in rows if row["number"] is not None and not math.isnan(row["number"])]
    found, taken = [], dict[Any, int]()
    stands_for = dict[Any, int]()
    for row in sorted(given, key=lambda row: (sign * row["number"], row["doc_id"], row["group"] or "")):
        group = row["group"] if settings.per else None
        own = row["content_hash"] or row["doc_id"] if settings.one_per_text else (row["doc_id"], row["group"])
        text = (group, own)
        stands_for[text] = stands_for.get(text, 0) + 1
        if stands_for[text] > 1 or taken.get(group, 0) >= settings.top_k:
            continue
        taken[group] = taken.get(group, 0) + 1
        found.append((group, taken[group], row["doc_id"], row["number"], text))
    return sorted(((*row[:4], stands_for[row[4]]) for row in found), key=lambda row: (row[0] or "", row[1]))


@pytest.mark.parametrize(
    "settings",
    [
        Rank(top_k=7),
        Rank(top_k=7, per=("group",), descending=False),
        Rank(top_k=60, one_per_text=False),
    ],
    ids=["all", "lowest of each group", "with duplicates"],
)
def test_what_is_found_in_two_stages_is_what_a_plain_sort_finds(settings: Rank) -> None:
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    rows = made_rows()
    columns = "doc_id string, content_hash string, group string, number double"
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], columns).coalesce(2)
    spark.conf.set("spark.sql.shuffle.partitions", 3)
    for parts in (1, 5):
        found = [row.asDict() for row in top_rows(frame, settings, parts).collect()]
        told = [(row.get("group"), row["rank"], row["place"].doc_id, row["ranked_by"], row["rows"]) for row in found]
        assert sorted(told, key=lambda row: (row[0] or "", row[1])) == plain_sort(rows, settings)


LABELS = ["negative", "neutral", "positive"]
PROBABILITIES = "score.probabilities=true"


def answers() -> list[Row]:
    """40 scored rows, of which the last ten repeat the texts of the first ones, and one with an error."""
    found: list[Row] = []
    for number in range(40):
        text = number % 30
        positive = (text * 7 % 30) / 32
        label = LABELS[text % 3]
        answer = {"label": label, "score": 1 - positive, "probabilities": [0.0, 1 - positive, positive]}
        found.append({**answer, "content_hash": f"text {text}", "group": f"g{text % 2}"})
    return [*found, {"error": "empty_text"}]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A pipeline whose scores table holds the answers, and whose model tells only its labels."""
    config, _ = write_world(tmp_path)
    (tmp_path / "unseen.txt").write_text("x\n")
    plan = make_plan(config, [PROBABILITIES])
    details = {"task": "classify", "labels": LABELS}
    facts = {"created": utc_now(), "code_version": code_version(), "settings": {}, "inputs": (), "files": ()}
    publish(plan.model_directory, Manifest(kind="model", fingerprint=plan.model, details=details, **facts))
    commit_answers(plan, answers())
    return config


def table_rows(plan: Plan) -> list[Row]:
    found: list[Row] = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
    return found


def directory_of(plan: Plan) -> str:
    table = read_table(plan.run.scores)
    assert table is not None
    return ranked_directory(plan, table)


def ranking(directory: str) -> list[Row]:
    assert verify(directory) == []
    paths = [Path(directory, entry.path) for entry in read_manifest(directory).files]
    rows: list[Row] = pa.concat_tables([pq.read_table(path) for path in paths]).to_pylist()
    return rows


def test_a_ranking_has_the_table_s_rows_and_is_made_once_for_a_state_of_the_table(
    config: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_FILE", 8)
    plan = make_plan(config, [PROBABILITIES, "rank={label: positive, top_k: 20}"])
    assert published("rank", plan) is None
    rank(plan)
    directory = directory_of(plan)
    found = ranking(directory)
    assert len(read_manifest(directory).files) == 3
    assert [row["rank"] for row in found] == list(range(1, 21)), "it goes on from file to file"
    first = {row["content_hash"]: row for row in sorted(table_rows(plan), key=lambda row: row["doc_id"], reverse=True)}
    scored = [row for row in first.values() if row["error"] is None]
    expected = sorted(scored, key=lambda row: (-row["probabilities"][2], row["doc_id"]))[:20]
    assert [{name: row[name] for name in expected[0]} for row in found] == expected
    assert [row["ranked_by"] for row in found] == [row["probabilities"][2] for row in expected]
    assert [row["rows"] for row in found] == [2 if int(row["content_hash"][5:]) < 10 else 1 for row in expected]
    [origin] = read_manifest(directory).inputs
    assert (origin["version"], origin["rows"], origin["models"]) == (0, 41, [plan.model])
    assert read_manifest(directory).details["columns"] == list(found[0])
    assert "version 0 of the scores table is already ranked" in (published("rank", plan) or "")
    rank(plan)
    assert "skipped: version 0 of the scores table is already ranked" in capfd.readouterr().err


def test_another_state_of_the_table_is_another_ranking_and_the_same_one_is_the_same(config: str) -> None:
    plan = make_plan(config, [PROBABILITIES, "rank={}"])
    before = directory_of(plan)
    assert directory_of(make_plan(config, [PROBABILITIES, "rank={top_k: 3}"])) != before
    DeltaTable(plan.run.scores).delete()
    after = directory_of(plan)
    assert after != before
    rank(plan)
    assert ranking_is_empty(after), "a table without rows has a ranking without rows"
    roll_back(config, 0)
    assert directory_of(plan) == before


def test_files_that_lack_later_columns_are_ranked_with_the_others(config: str) -> None:
    plan = make_plan(config, [PROBABILITIES, "rank={}"])
    table = read_table(plan.run.scores)
    assert table is not None
    path = Path(table.uri, table.files[0].path)
    rows = pq.read_table(path)
    later = ["group", "content_hash"]
    for place, part in enumerate((rows.slice(0, 20).drop_columns(later), rows.slice(20))):
        pq.write_table(part, Path(table.uri, f"part-{place}.parquet"))
    files = tuple(replace(table.files[0], path=f"part-{place}.parquet") for place in range(2))
    for order in (files, files[::-1]):
        by, written = stage._write(plan, replace(table, files=order), plan.run.root + "/ranked-by-hand")
        found = pq.read_table(Path(plan.run.root, "ranked-by-hand", written[0].entry.path)).to_pylist()
        assert by == "score" and len(found) == 40
        assert {row["doc_id"] for row in found if row["group"] is None} == {str(number) for number in range(1, 21)}


def ranking_is_empty(directory: str) -> bool:
    return is_published(directory) and read_manifest(directory).files == ()


def test_groups_are_whole_and_sorted_in_a_file(config: str) -> None:
    plan = make_plan(config, [PROBABILITIES, "rank={per: [group, label], top_k: 4, descending: false}"])
    rank(plan)
    by_group: dict[tuple[str, str], list[Row]] = {}
    for row in ranking(directory_of(plan)):
        by_group.setdefault((row["group"], row["label"]), []).append(row)
    assert len(by_group) == 6 and list(by_group) == sorted(by_group)
    for (group, label), rows in by_group.items():
        assert [row["rank"] for row in rows] == [1, 2, 3, 4]
        own = [row for row in table_rows(plan) if (row["group"], row["label"]) == (group, label)]
        assert [row["score"] for row in rows] == sorted({row["score"] for row in own})[:4]
        assert [row["ranked_by"] for row in rows] == [row["score"] for row in rows]


def test_what_was_answered_from_a_bank_is_ranked_by_its_similarity(tmp_path: Path) -> None:
    write_bank(tmp_path, ["good film", "awful day"])
    plan = answered_plan(tmp_path, "rank={}")
    answered = {"answers": [{"id": "t0001", "score": 0.9}], "answer": "t0001", "label": "even"}
    commit_answers(plan, [{**answered, "score": 0.9, "abstained": False}, {"score": 0.2, "abstained": True}])
    table = read_table(plan.run.scores)
    assert table is not None
    assert stage._by(plan, table, score_schema("retrieve")) == ByColumn("score"), "which withheld rows have, too"


def test_a_run_that_dies_before_it_publishes_leaves_nothing_that_counts(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    plan = make_plan(config, [PROBABILITIES, "rank={top_k: 3}"])
    monkeypatch.setattr(stage, "publish", die)
    with pytest.raises(KeyboardInterrupt):
        rank(plan)
    monkeypatch.undo()
    directory = directory_of(plan)
    left = sorted(Path(directory, "data").iterdir())
    assert left and not is_published(directory) and published("rank", plan) is None
    rank(plan)
    assert sorted(Path(directory, "data").iterdir()) == left, "the same bytes, by the same names"
    assert len(ranking(directory)) == 3


def test_a_ranking_made_while_a_document_was_forgotten_is_not_published(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage._write
    gone = ForgottenDocument(doc_id="1", place="", identity="", hashes=(), source_id="", of_corpus=False)

    def overtaken(plan: Plan, *values: Any) -> Any:
        remember(plan.run.root, [gone])
        return real(plan, *values)

    plan = make_plan(config, [PROBABILITIES, "rank={top_k: 3}"])
    monkeypatch.setattr(stage, "_write", overtaken)
    with pytest.raises(StageError, match="rank: documents were forgotten while this ran; nothing was published"):
        rank(plan)
    monkeypatch.undo()
    assert not is_published(directory_of(plan))
    rank(make_plan(config, [PROBABILITIES, "rank={top_k: 3}"]))
    assert is_published(directory_of(plan))


def test_what_cannot_be_ranked_is_told(config: str, tmp_path: Path) -> None:
    for words, told in {
        "rank={by: label}": r"rank\.by: found 'label', expected a column of the scores table with numbers: record, ",
        "rank={label: angry}": r"rank\.label: found 'angry', expected a label of the model .*: negative, neutral, pos",
    }.items():
        with pytest.raises(SettingsError, match=told):
            rank(make_plan(config, [PROBABILITIES, words]))
    with pytest.raises(SettingsError, match="rank: is missing"):
        rank(make_plan(config))
    with pytest.raises(SettingsError, match=r"score\.probabilities=true"):
        make_plan(config, ["rank={label: positive}"])
    with pytest.raises(SettingsError, match="found 'a' with by=score"):
        make_plan(config, [PROBABILITIES, "rank={label: a, by: score}"])
    with pytest.raises(StageError, match="found no scores table"):
        rank(make_plan(config, ["rank={}", f"run_dir={tmp_path / 'other'}"]))
