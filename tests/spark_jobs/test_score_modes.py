"""Modes through Spark: tables with the columns of their mode, pairs from two columns, UDFs with the same answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

import mapring
from mapring.contract.schemas import score_schema
from mapring.errors import SettingsError, StageError
from mapring.pairs import SEPARATOR
from mapring.plan import Plan, make_plan
from mapring.scores.verify import verify_scores
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.published_model import read_published_model
from spark_jobs.ranking.features import asked_by_ranker, text_scores
from spark_jobs.recommending.shortlists import ModelReader
from spark_jobs.score import score
from spark_jobs.udf import _checked
from tests.tiny import write_world
from tests.tiny_modes import PAIRS, TEXTS, publish_made

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def plan_of(tmp_path: Path, *overrides: str) -> Plan:
    """A plan that scores TEXTS, or PAIRS where the corpus is of pairs."""
    config, _ = write_world(tmp_path)
    (tmp_path / "unseen.txt").write_text("\n".join(TEXTS) + "\n")
    lines = [dict(zip(("a", "b"), pair.split(SEPARATOR), strict=True)) for pair in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"a": "good", "b": ""}])) + "\n")
    return make_plan(config, overrides)


def pairs_input(key: str, tmp_path: Path) -> str:
    place = f"{{name: p, path: {tmp_path}/pairs.jsonl, format: jsonl, text_column: a, second_text_column: b}}"
    return f"{key}=[{place}]"


def table_of(plan: Plan) -> list[dict[str, Any]]:
    table = DeltaTable(plan.run.scores).to_pyarrow_table()
    assert table.schema.names == score_schema(plan.score_mode).names
    return sorted(table.to_pylist(), key=lambda row: row["record"])


def test_numbers_of_pairs_are_scored_with_explanations_of_a_share(tmp_path: Path) -> None:
    inputs = [pairs_input(key, tmp_path) for key in ("preprocess.inputs", "score.inputs")]
    plan = plan_of(tmp_path, "train.task=regression", *inputs, "score.explain_share=0.5")
    publish_made(Path(plan.model_directory), "regression", is_pair=True)
    score(plan)
    rows = table_of(plan)
    expected, _ = predict_columns(Predictor(plan.model_directory), PAIRS, Answers())
    np.testing.assert_allclose([row["value"] for row in rows[:-1]], expected["value"], atol=1e-5)
    assert (rows[-1]["value"], rows[-1]["error"]) == (None, "empty_text"), "a pair with an empty text"
    explained = [row for row in rows if row["explanation"]]
    assert 0 < len(explained) < len(PAIRS)
    assert explained[0]["explanation"][0].keys() == {"token", "weight"}
    assert verify_scores(plan.run.scores) == []


def test_a_language_model_gives_perplexities_and_asked_otherwise_texts_in_the_same_table(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "train.task=clm")
    publish_made(Path(plan.model_directory), "clm")
    score(plan)
    predictor = Predictor(plan.model_directory)
    expected, _ = predict_columns(predictor, TEXTS, Answers())
    rows = table_of(plan)
    np.testing.assert_allclose([row["perplexity"] for row in rows], expected["perplexity"], rtol=1e-5)
    assert [row["tokens"] for row in rows] == expected["tokens"]
    other = plan_of(
        tmp_path,
        *("train.task=clm", "score.mode=generate", "score.generation={max_new_tokens: 5, temperature: 1.0}"),
        "score.max_failed_share=0.5",  # those that are too long
    )
    assert other.model == plan.model and other.score_settings != plan.score_settings
    score(other)
    answers = other.scoring
    written, _ = predict_columns(predictor, TEXTS, answers)
    for row, text, error in zip(table_of(other), written["generated"], written["error"], strict=True):
        assert (row["generated"], row["error"]) == (text, error)
    assert len(set(written["generated"])) > 10
    assert verify_scores(plan.run.scores) == []


def test_another_model_of_the_run_directory_answers_as_its_own_task_has_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"score.model={'f' * 16}")
    publish_made(Path(plan.scoring_model_directory), "embed")
    score(plan)
    expected, _ = predict_columns(Predictor(plan.scoring_model_directory), TEXTS, Answers())
    np.testing.assert_allclose(
        np.array([row["embedding"] for row in table_of(plan)]), np.array(expected["embedding"]), atol=1e-5
    )
    with pytest.raises(SettingsError, match="top_k: found it with mode embed"):
        score(plan_of(tmp_path, f"score.model={'f' * 16}", "score.top_k=2"))
    shutil.rmtree(Path(plan.scoring_model_directory).parent)
    publish_made(Path(plan.scoring_model_directory), "classify", is_pair=True)
    with pytest.raises(StageError, match="reads pairs; name the second text"):
        score(plan_of(tmp_path, f"score.model={'f' * 16}", "score.rescore=true"))


def test_udfs_answer_in_every_mode_from_one_column_or_two(tmp_path: Path) -> None:
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    pairs = [(number, *pair.split(SEPARATOR)) for number, pair in enumerate(PAIRS)]
    frame = spark.createDataFrame([*pairs, (len(PAIRS), "good", None)], "id int, a string, b string").repartition(2)

    def answers(function: Any, *columns: str) -> list[Any]:
        rows = frame.select("id", function(*columns).alias("p")).collect()
        return [row["p"].asDict(recursive=True) for row in sorted(rows, key=lambda row: row["id"])]

    for task, is_pair in (("classify", True), ("embed", False), ("clm", False)):
        publish_made(tmp_path / task, task, is_pair=is_pair)
    found = answers(mapring.explain_udf(str(tmp_path / "classify"), top_k=2), "a", "b")
    asked = Answers(top_k=2, explain_share=1)
    expected, _ = predict_columns(Predictor(str(tmp_path / "classify")), [*PAIRS, None], asked)
    assert list(found[0]) == list(expected)
    assert [row["label"] for row in found] == expected["label"]
    assert [row["error"] for row in found] == expected["error"]
    for row, top, explanation in zip(found, expected["top"], expected["explanation"], strict=True):
        if top is None:
            assert row["top"] is None and row["explanation"] is None
            continue
        assert [entry["label"] for entry in row["top"]] == [entry["label"] for entry in top]
        assert [entry["token"] for entry in row["explanation"]] == [entry["token"] for entry in explanation]
        weights = [[entry["weight"] for entry in entries] for entries in (row["explanation"], explanation)]
        np.testing.assert_allclose(*weights, atol=1e-4)
    found = answers(mapring.predict_udf(str(tmp_path / "embed")), "a")
    vectors, _ = predict_columns(Predictor(str(tmp_path / "embed")), TEXTS, Answers())
    np.testing.assert_allclose([row["embedding"] for row in found[:-1]], np.array(vectors["embedding"]), atol=1e-5)
    asking: dict[str, Any] = {"mode": "generate", "generation": {"max_new_tokens": 4, "temperature": 1.0}}
    found = answers(mapring.predict_udf(str(tmp_path / "clm"), **asking), "a")
    written, _ = predict_columns(Predictor(str(tmp_path / "clm")), TEXTS, Answers.model_validate(asking))
    assert [row["generated"] for row in found[:-1]] == written["generated"]


def test_what_a_udf_is_asked_is_checked_on_the_driver(tmp_path: Path) -> None:
    publish_made(tmp_path / "m", "embed")
    with pytest.raises(SettingsError, match="probabilities: found it with mode embed"):
        mapring.predict_udf(str(tmp_path / "m"), probabilities=True)
    with pytest.raises(SettingsError, match="explain_share: found it with mode embed"):
        mapring.explain_udf(str(tmp_path / "m"))
    with pytest.raises(SettingsError, match=r"predict_udf: probability: .*docs/settings.md"):
        mapring.predict_udf(str(tmp_path / "m"), probability=True)
    with pytest.raises(SettingsError, match=r"predict_udf: mode: found answer, whose bank `mapring score` publishes"):
        mapring.predict_udf(str(tmp_path / "m"), mode="answer")


TEXT, NUMBER = pd.Series(["a", None]), pd.Series([1, 2])


@pytest.mark.parametrize(
    ("batch", "is_pair", "match"),
    [
        (((TEXT, TEXT),), False, "another number of columns, expected one column of texts"),
        (TEXT, True, "another number of columns, expected two columns of texts, for it is a model of pairs"),
        ((NUMBER,), False, "found values of int64, expected one column of texts; cast them to string"),
        ((TEXT, NUMBER), True, "found values of int64, expected two columns"),
    ],
)
def test_columns_that_are_no_texts_are_told_in_a_line(batch: Any, is_pair: bool, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        _checked(batch, is_pair)


def test_columns_of_texts_pass() -> None:
    empty = pd.Series([None, None])
    assert _checked((TEXT,), False) == (TEXT,)
    assert len(_checked((TEXT, empty), True)) == 2


def test_rankers_ask_each_mode_for_what_it_gives(tmp_path: Path) -> None:
    bank = {"retrieval": {"bank": [{"name": "b", "path": "b", "format": "text"}]}}
    asking: dict[str, tuple[str, Any]] = {
        "classify": ("classify", {}),
        "regression": ("regression", {}),
        "embed": ("retrieve", {"mode": "retrieve", **bank}),
    }
    for task, (mode, values) in asking.items():
        publish_made(tmp_path / task, task)
        answers = Answers.model_validate(values)
        asked = asked_by_ranker(answers, mode)  # type: ignore[arg-type]
        assert read_published_model(str(tmp_path / task)).mode_for(asked) == mode
        assert asked.probabilities == (mode == "classify")


def test_a_reader_of_numbers_re_ranks(tmp_path: Path) -> None:
    publish_made(tmp_path / "m", "regression", is_pair=True)
    reader = ModelReader(
        directory=str(tmp_path / "m"), batch_tokens=256, scores=text_scores("regression", [], Answers(), None)
    )
    found = reader([("the day", "a film"), ("a book", "very fine")])
    assert found.shape == (2,) and np.isfinite(found).all()
