"""Scoring: every input row once, with its lineage, exactly once in the table, whatever happened before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

import mapring
import spark_jobs.score as module
from mapring.contract import read_manifest
from mapring.contract.schemas import score_schema
from mapring.errors import InputError, PublishedError, StageError
from mapring.plan import Plan, make_plan
from mapring.scores.table import is_sealed, latest_commit, read_table
from mapring.scores.verify import verify_scores
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.score import score
from tests.spark_jobs.scored_world import overtake_once
from tests.tiny import sentence, write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

LINES = [sentence(number)[0].encode() for number in range(1000, 1200)]
DIRT = [b"", b"  \t ", b"b\xffd", LINES[0], b"x" * 5000]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    config, _ = write_world(tmp_path)
    (tmp_path / "unseen.txt").write_bytes(b"\n".join([*LINES, *DIRT]) + b"\n")
    found = make_plan(config)
    publish_tiny_model(found.model_directory, tmp_path / "tokenizer", found.model)
    return found


def rows(plan: Plan) -> list[dict[str, Any]]:
    table = DeltaTable(plan.run.scores).to_pyarrow_table()
    assert set(table.schema.names) == set(score_schema("classify").names)
    return sorted(table.to_pylist(), key=lambda row: row["record"])


def test_every_row_is_there_once_with_its_lineage_and_the_model_s_own_probabilities(plan: Plan) -> None:
    score(plan)
    found = rows(plan)
    assert [row["record"] for row in found] == list(range(1, 206))
    assert len({row["doc_id"] for row in found}) == 205
    assert {row["model_fingerprint"] for row in found} == {plan.model}
    assert len({row["run_id"] for row in found}) == 1
    details = {row["record"]: (row["error"], row["detail"]) for row in found if row["error"]}
    assert details == {
        201: ("empty_text", None),
        202: ("empty_text", None),
        203: ("undecodable_bytes", "byte 0xff at position 2 is not utf-8"),
    }
    assert all((row["label"] is None) == (row["error"] is not None) for row in found)
    stock = Path(plan.model_directory, "transformers-0")
    model = AutoModelForSequenceClassification.from_pretrained(stock).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(stock / "tokenizer.json"))
    for row, line in list(zip(found, LINES, strict=False))[::20]:
        with torch.inference_mode():
            logits = model(**tokenizer(line.decode(), return_tensors="pt", truncation=True, max_length=32)).logits
        expected = logits.softmax(-1)[0].numpy()
        assert row["probabilities"] is None and row["top"] is None and row["abstained"] is False
        assert row["label"] == ["negative", "neutral", "positive"][int(expected.argmax())]
        assert row["score"] == pytest.approx(float(expected.max()), abs=1e-5)
    commit = latest_commit(plan.run.scores)
    assert commit is not None
    assert commit.counts == {
        "read": 205,
        "scored": 202,
        "errors": {"empty_text": 2, "undecodable_bytes": 1},
        "computed": 201,
        "fanned_out": 1,  # one line stands twice
        "unread": {},
        "forgotten": 0,
    }
    assert verify_scores(plan.run.scores) == []


def test_a_second_run_is_skipped_and_changed_input_replaces_the_rows(
    plan: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    score(plan)
    before = rows(plan)
    score(plan)
    assert "skipped" in capfd.readouterr().err
    assert rows(plan) == before
    Path(plan.settings.score.inputs[0].path).write_bytes(b"good film\n")
    changed = make_plan(plan.config)
    assert changed.model == plan.model and changed.score_sources != plan.score_sources
    score(changed)
    assert len(rows(changed)) == 1
    table = DeltaTable(plan.run.scores)
    assert table.version() == 1
    assert table.transaction_version(f"tiny:{plan.model}") == 2
    assert DeltaTable(plan.run.scores, version=0).to_pyarrow_table().num_rows == 205, "history keeps what was replaced"


@pytest.mark.parametrize("partitions", [1, 7])
def test_partitions_change_no_score(plan: Plan, tmp_path: Path, partitions: int) -> None:
    score(plan)
    overrides = [f"spark.partitions={partitions}", f"run_dir={tmp_path / 'other'}", "score.batch_tokens=64"]
    other = make_plan(plan.config, overrides)
    publish_tiny_model(other.model_directory, tmp_path / "tokenizer", other.model)
    score(other)
    for left, right in zip(rows(plan), rows(other), strict=True):
        assert left["doc_id"] == right["doc_id"] and left["label"] == right["label"]
        assert left["score"] is None or left["score"] == pytest.approx(right["score"], abs=1e-5)


def test_of_two_runs_that_race_one_commits_and_the_other_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def race() -> None:
        overtake_once(monkeypatch, lambda: score(plan))
        with pytest.raises(StageError, match="another run committed"):
            score(plan)

    race()
    assert len(rows(plan)) == 205
    Path(plan.settings.score.inputs[0].path).write_bytes(b"good film\n")
    plan = make_plan(plan.config)
    race()
    assert len(rows(plan)) == 1


def test_a_run_that_died_between_commit_and_seal_is_finished_without_scoring_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "seal", lambda uri, version: None)
    score(plan)
    monkeypatch.undo()
    table = read_table(plan.run.scores)
    assert table is not None and not is_sealed(table)
    assert [problem for problem in verify_scores(plan.run.scores) if "has no seal" in problem]
    score(plan)
    assert is_sealed(table)
    assert verify_scores(plan.run.scores) == []
    commit = latest_commit(plan.run.scores)
    assert commit is not None and commit.version == 0


def test_files_of_a_run_that_died_before_its_commit_are_never_seen(plan: Plan) -> None:
    data = Path(plan.run.scores, "data")
    data.mkdir(parents=True)
    (data / "dead-00000-0.parquet").write_bytes(b"half")
    score(plan)
    assert len(rows(plan)) == 205
    assert verify_scores(plan.run.scores) == []


def test_a_flipped_byte_or_a_missing_file_of_the_table_is_named(plan: Plan) -> None:
    score(plan)
    table = read_table(plan.run.scores)
    assert table is not None
    path = Path(plan.run.scores, table.files[0].path)
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    assert verify_scores(plan.run.scores) == [f"{path}: checksum differs from its name"]
    path.unlink()
    assert verify_scores(plan.run.scores) == [f"{path}: is missing or cannot be read"]


def test_without_a_model_the_way_out_is_named(plan: Plan) -> None:
    other = make_plan(plan.config, ["seed=99"])
    with pytest.raises(StageError, match=r"found no model at .*run `mapring train"):
        score(other)


def test_an_empty_input_and_too_much_quarantine_are_refused(plan: Plan) -> None:
    source = Path(plan.settings.score.inputs[0].path)
    source.write_bytes(b"\xff\n\xfe\nfine\n")
    with pytest.raises(InputError, match=r"2 of 3 records \(66\.7%\)"):
        score(make_plan(plan.config))
    source.write_bytes(b"")
    with pytest.raises(InputError, match="hold no records"):
        score(make_plan(plan.config))
    assert not Path(plan.run.scores).exists()


def test_a_model_that_does_not_give_its_golden_rows_is_refused(tmp_path: Path) -> None:
    write_world(tmp_path)
    publish_tiny_model(str(tmp_path / "m"), tmp_path / "tokenizer", "0", golden_shift=0.01)
    with pytest.raises(PublishedError, match=r"golden rows give other logits here \(largest difference 0\.01"):
        Predictor(str(tmp_path / "m"))


def test_a_model_with_another_tokenizer_or_a_cut_file_is_refused(tmp_path: Path) -> None:
    write_world(tmp_path)
    stock = publish_tiny_model(str(tmp_path / "m"), tmp_path / "tokenizer", "0")
    assert read_manifest(str(tmp_path / "m")).fingerprint == "0"
    tokenizer = stock / "tokenizer.json"
    text = tokenizer.read_text()
    tokenizer.write_text(text.replace('"the"', '"thf"'))
    with pytest.raises(PublishedError, match="tokenize otherwise"):
        Predictor(str(tmp_path / "m"))
    tokenizer.write_text(text[:-1])
    with pytest.raises(PublishedError, match=r"tokenizer\.json: found \d+ bytes, expected \d+"):
        Predictor(str(tmp_path / "m"))


def test_the_udf_scores_a_column_and_says_why_a_row_has_no_label(plan: Plan) -> None:
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    texts = pd.DataFrame({"id": range(6), "text": ["good film", None, "", " \n", "  good   film ", "awful day"]})
    predict = mapring.predict_udf(plan.model_directory, probabilities=True)
    frame = spark.createDataFrame(texts).repartition(2).select("id", predict("text").alias("p"))
    found = {row["id"]: row["p"].asDict() for row in frame.collect()}
    assert [found[number]["error"] for number in range(6)] == [
        None,
        "empty_text",
        "empty_text",
        "empty_text",
        None,
        None,
    ]
    assert found[0]["probabilities"] == pytest.approx(found[4]["probabilities"], abs=1e-6), "normalized as in training"
    assert found[0]["score"] == pytest.approx(max(found[0]["probabilities"]))
    assert found[1]["label"] is None and found[1]["probabilities"] is None


def test_a_text_that_the_model_fails_on_has_a_row_that_says_so(plan: Plan, tmp_path: Path) -> None:
    other = make_plan(plan.config, [f"run_dir={tmp_path / 'broken'}"])
    publish_tiny_model(other.model_directory, tmp_path / "tokenizer", other.model, broken_token="[UNK]")
    strict = make_plan(plan.config, [*other.overrides, "score.max_failed_share=0"])
    with pytest.raises(StageError, match=r"failed on 1 of 202 texts \(0\.5%\), allowed are 0\.0%"):
        score(strict)
    assert latest_commit(other.run.scores) is None
    score(other)
    [failed] = [row for row in rows(other) if row["error"] == "model_failed"]
    assert (failed["record"], failed["detail"]) == (205, "logits are not finite")
    assert failed["label"] is None and failed["score"] is None and failed["probabilities"] is None
    commit = latest_commit(other.run.scores)
    assert commit is not None and commit.counts["errors"]["model_failed"] == 1
    assert verify_scores(other.run.scores) == []
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    predict = mapring.predict_udf(other.model_directory)
    texts = pd.DataFrame({"text": ["good film", "x" * 200, "awful day"]})
    found = [row["p"] for row in spark.createDataFrame(texts).coalesce(1).select(predict("text").alias("p")).collect()]
    assert [row["error"] for row in found] == [None, "model_failed", None]
    assert found[1]["detail"] == "logits are not finite"


@pytest.mark.parametrize("arrow_rows", [1, 7, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_udf_gives_the_rows_back_in_order_whatever_spark_s_batches(plan: Plan, arrow_rows: int) -> None:
    """Nulls, empties, duplicates, and partitions of one row and of none."""
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", arrow_rows)
    try:
        predict = mapring.predict_udf(plan.model_directory, batch_tokens=64, probabilities=True)
        texts = [[None, "", sentence(number % 17)[0]][number % 3] for number in range(24)]
        frame = spark.createDataFrame(list(enumerate(texts)), "id int, text string")
        frames = (frame.coalesce(1), frame.repartition(16, "id"))
        sizes = {len(part) for part in frames[1].rdd.glom().collect()}
        assert {0, 1} <= sizes
        found = [
            {row["id"]: row["p"] for row in spread.select("id", predict("text").alias("p")).collect()}
            for spread in frames
        ]
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    predictor = Predictor(plan.model_directory)
    for number, text in enumerate(texts):
        for answers in found:
            if not text:
                assert answers[number]["error"] == "empty_text"
                continue
            alone, _ = predict_columns(predictor, [text], Answers(probabilities=True))
            assert np.allclose(answers[number]["probabilities"], alone["probabilities"][0], atol=1e-5)
            assert answers[number]["label"] == alone["label"][0]


def test_the_udf_loads_the_model_once_in_each_worker(plan: Plan, tmp_path: Path) -> None:
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()

    def count_loads(batches: Any) -> Any:
        import pyarrow as pa

        from spark_jobs.predictor import load_predictor

        for _ in batches:
            predictor = load_predictor(plan.model_directory, 1, 2048)
            yield pa.RecordBatch.from_pydict({"worker": [os.getpid()], "predictor": [id(predictor)]})

    found = spark.range(0, 8, 1, 8).mapInArrow(count_loads, "worker long, predictor long").collect()
    workers = {row["worker"] for row in found}
    assert len(found) == 8 and len(workers) <= 4, "workers are reused"
    assert len({(row["worker"], row["predictor"]) for row in found}) == len(workers), "one predictor in each"


def test_a_wrong_model_path_fails_on_the_driver(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match=r"found no published\.json"):
        mapring.predict_udf(str(tmp_path))
