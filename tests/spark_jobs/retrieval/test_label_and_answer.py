"""Label and answer of one pass through Spark: both as stock transformers gives them, and both withheld together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import mapring
from mapring.contract import read_manifest, write_file
from mapring.contract.schemas import score_schema
from mapring.contract.verify import verify
from mapring.errors import SettingsError, StageError
from mapring.plan import Plan, make_plan
from mapring.scores.migrations import mode_of
from mapring.settings import output_settings
from mapring.settings.answers import Answers
from spark_jobs.modes.retrieval import columns_of_label_and_answer
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.retrieval.bank import Answer
from spark_jobs.retrieval.scope import read_similarities, similarities_to_bytes, threshold_that_keeps
from spark_jobs.score import score
from spark_jobs.tables import parquet_bytes
from tests.spark_jobs.backends.stock_vectors import stock_vectors
from tests.spark_jobs.backends.tiny_run import publish_shards
from tests.spark_jobs.retrieval.test_bank import write_bank
from tests.tiny import write_world
from tests.tiny_modes import MAX_LENGTH, TEXTS, publish_made, stock_inputs

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
BANK = [text for text in dict.fromkeys(TEXTS) if len(text.split()) < MAX_LENGTH - 2][:12]


def plan_of(root: Path, *overrides: str) -> Plan:
    config, _ = write_world(root)
    (root / "unseen.txt").write_text("\n".join(TEXTS) + "\n")
    write_bank(root, BANK)
    bank = f"{{name: faq, path: {root}/bank.jsonl, format: jsonl, id_column: id, label_column: kind}}"
    words = ("score.mode=answer", f"score.retrieval.bank=[{bank}]", "score.retrieval.top_k=3", "score.top_k=2")
    return make_plan(config, [*words, *overrides])


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    table = DeltaTable(plan.run.scores).to_pyarrow_table()
    assert table.schema.names == score_schema("answer").names and mode_of(table.schema.names) == "answer"
    return sorted(table.to_pylist(), key=lambda row: row["record"])


def test_one_scoring_gives_label_confidence_answers_and_who_abstains(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "score.retrieval.abstain_below=0.97", "score.abstain_below=0.5")
    model: Any = publish_made(Path(plan.model_directory), "classify", fingerprint=plan.model)
    score(plan)
    bank = plan.run.bank(str(plan.bank))
    assert verify(bank) == [] and read_manifest(bank).details["counts"]["vectors"] == len(BANK)

    predictor = Predictor(plan.model_directory)
    vectors = stock_vectors(model, [stock_inputs(predictor.encoder, text, False) for text in (*TEXTS, *BANK)])
    similarities = vectors[: len(TEXTS)] @ vectors[len(TEXTS) :].T
    labels, _ = predict_columns(predictor, TEXTS, Answers(top_k=2))
    rows = rows_of(plan)
    assert {row["abstained"] for row in rows} == {True, False}
    for place, row in enumerate(rows):
        order = np.argsort(-similarities[place], kind="stable")[:3]
        assert [answer["id"] for answer in row["answers"]] == [f"t{number:04d}" for number in order]
        found = [answer["score"] for answer in row["answers"]]
        np.testing.assert_allclose(found, similarities[place][order], atol=1e-5)
        assert row["similarity"] == found[0] and row["score"] == pytest.approx(labels["score"][place], abs=1e-5)
        assert [entry["label"] for entry in row["top"]] == [entry["label"] for entry in labels["top"][place]]
        assert row["abstained"] == (row["score"] < 0.5 or row["similarity"] < 0.97)
        assert row["label"] == (None if row["abstained"] else labels["label"][place])
        assert row["answer"] == (None if row["abstained"] else row["answers"][0]["id"])


def publish_validation(directory: str, fingerprint: str, ids: list[list[int]]) -> None:
    """Shards of validation rows with these tokens and nothing else."""
    columns = {"input_ids": pa.array(ids, pa.list_(pa.int32())), "label_id": pa.nulls(len(ids), pa.int32())}
    content = parquet_bytes(pa.table(columns), 16)
    file = write_file(directory, "data/validation-0.parquet", content, len(ids))
    shards = [[{"path": file.path, "rows": len(ids)}]] if ids else []
    publish_shards(directory, fingerprint, [file], {"validation": {"rows": len(ids), "shards": shards}})


def test_a_threshold_keeps_its_share_of_the_validation_texts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(tmp_path, "score.retrieval.keep_in_scope=0.8")
    publish_made(Path(plan.model_directory), "classify", fingerprint=plan.model)
    texts = [text for text in dict.fromkeys(TEXTS) if text not in BANK]
    publish_validation(
        plan.shards_directory, plan.shards, Predictor(plan.model_directory).encoder.encode([*texts, BANK[0]])
    )
    score(plan)
    assert verify(plan.run.bank(str(plan.bank))) == []
    rows = dict(zip(TEXTS, rows_of(plan), strict=True))
    own = rows[BANK[0]]["answers"]
    assert own[0]["score"] == pytest.approx(1, abs=1e-6) and own[1]["score"] < 0.9999
    similarities = sorted([*(rows[text]["similarity"] for text in texts), own[1]["score"]])  # not to itself
    count = len(similarities)
    threshold = similarities[count - math.ceil(0.8 * count)]
    told = capfd.readouterr().err
    assert f"similarity below {threshold:.4f} is out of scope: 80.0% of {count} texts are not" in told
    assert [row["abstained"] for row in rows.values()] == [
        row["similarity"] < threshold - 1e-6 for row in rows.values()
    ]
    assert 0 < sum(rows[text]["abstained"] for text in texts) <= 0.2 * count
    assert not any(rows[text]["abstained"] for text in BANK)


def test_a_threshold_needs_validation_texts(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "score.retrieval.keep_in_scope=0.8")
    publish_made(Path(plan.model_directory), "classify", fingerprint=plan.model)
    publish_validation(plan.shards_directory, plan.shards, [])
    with pytest.raises(StageError, match=r"keep_in_scope: found 0\.8, but no validation texts when the bank was made"):
        score(plan)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.1), (0.95, 0.2), (0.9, 0.3), (0.5, 1.1), (0.001, 2.0)])
def test_as_many_texts_as_wanted_reach_the_threshold(tmp_path: Path, share: float, expected: float) -> None:
    (tmp_path / "scope.parquet").write_bytes(similarities_to_bytes(np.arange(20, 0, -1) / 10))
    found = read_similarities(str(tmp_path / "scope.parquet"))
    threshold = threshold_that_keeps(share, found)
    assert threshold == pytest.approx(expected) and (found >= threshold).mean() >= share


def test_without_it_fingerprints_are_as_they_were(tmp_path: Path) -> None:
    plan, other = plan_of(tmp_path), plan_of(tmp_path, "score.retrieval.keep_in_scope=0.9")
    assert plan.bank == other.bank and plan.score_settings != other.score_settings
    assert plan.settings.score is not None and plan.settings.score.retrieval is not None
    assert "keep_in_scope" not in output_settings(plan.settings.score.retrieval)


def test_both_are_withheld_where_either_is_weak() -> None:
    of_label = {"label": ["a", None, "c"], "score": [0.9, 0.1, 0.8], "abstained": [False, True, False]}
    found = [[Answer("x", 0.9, None)], [Answer("y", 0.9, None)], [Answer("z", 0.2, None)]]
    columns = columns_of_label_and_answer(of_label, found, 0.5)
    assert columns["abstained"] == [False, True, True] and columns["similarity"] == [0.9, 0.9, 0.2]
    assert columns["label"] == ["a", None, None] and columns["answer"] == ["x", None, None]
    assert columns["score"] == [0.9, 0.1, 0.8] and columns["answers"][2] == [{"id": "z", "score": 0.2}]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("score.retrieval=null",), "retrieval: found none with mode answer"),
        (("train.task=embed",), "mode: found answer with task=embed, expected embed or retrieve"),
        (("score.backend=openvino-int8-token",), "backend: found openvino-int8-token with mode answer"),
        (
            ("score.retrieval.keep_in_scope=0.9", "score.retrieval.abstain_below=0.5"),
            "keep_in_scope: found 0.9 with abstain_below=0.5",
        ),
        (
            ("train.task=embed", "score.mode=retrieve", "score.retrieval.keep_in_scope=0.9"),
            "keep_in_scope: found 0.9 with mode retrieve",
        ),
        (("score.backend=auto",), "backend: found auto with mode answer"),
        (("score.mode=classify",), "retrieval: found it with mode classify, expected retrieve or answer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        plan_of(tmp_path, *words)


def test_models_of_pairs_and_udfs_are_refused(tmp_path: Path) -> None:
    publish_made(tmp_path / "pairs", "classify", is_pair=True)
    publish_made(tmp_path / "single", "classify")
    asked: dict[str, Any] = {"mode": "answer", "retrieval": {"bank": [{"name": "a", "path": "a", "format": "text"}]}}
    for name in ("pairs", "single"):
        with pytest.raises(SettingsError, match=r"found answer, whose bank `mapring score` publishes; .* for classify"):
            mapring.predict_udf(str(tmp_path / name), **asked)
