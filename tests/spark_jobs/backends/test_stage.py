"""Scoring with a backend, from the setting to the table: one task chooses it, all tasks use it, the commit names it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

import mapring
from mapring.contract import read_manifest
from mapring.contract.verify import verify
from mapring.errors import PublishedError, SettingsError, StageError
from mapring.plan import make_plan
from mapring.settings import load_settings
from spark_jobs.score import score
from tests.spark_jobs.backends.tiny_run import publish_tiny_shards
from tests.tiny import sentence, write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def test_a_scoring_is_made_by_the_backend_that_passed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config, _ = write_world(tmp_path)
    lines = [sentence(number)[0] for number in range(1000, 1100)]
    (tmp_path / "unseen.txt").write_text("\n".join(lines) + "\n")
    overrides = ["score.backend=onnx-int8", "score.min_agreement=0.9", "score.max_metric_loss=0.05"]
    plan = make_plan(config, overrides)
    publish_tiny_model(plan.model_directory, tmp_path / "tokenizer", plan.model, with_onnx=True)
    publish_tiny_shards(plan.shards_directory, tmp_path / "tokenizer", plan.shards)

    strict = make_plan(config, ["score.backend=onnx-int8", "score.min_agreement=1"])
    with pytest.raises(StageError, match=r"score\.backend: .*refused, 0\.9\d+ of 200 .*score\.min_agreement"):
        score(strict)
    assert not Path(plan.run.scores).exists()

    score(plan)
    [directory] = [str(path) for path in Path(plan.run.root, "backends").iterdir()]
    assert verify(directory) == []
    assert read_manifest(directory).details["backend"] == "onnx-int8"
    assert "[mapring score] backend onnx-int8 " in capfd.readouterr().err
    history = DeltaTable(plan.run.scores).history(1)[0]
    assert json.dumps(history).count(Path(directory).name) == 1, "the commit names the backend"

    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    frame = spark.createDataFrame(pd.DataFrame({"text": lines}))
    predict = mapring.predict_udf(plan.model_directory, backend=directory)
    found = {row["text"]: row["p"] for row in frame.select("text", predict("text").alias("p")).collect()}
    table = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
    assert [found[lines[row["record"] - 1]]["probabilities"] for row in table] == [
        pytest.approx(row["probabilities"], abs=1e-5) for row in table
    ]
    with pytest.raises(PublishedError, match="found model, expected a backend"):
        mapring.predict_udf(plan.model_directory, backend=plan.model_directory)


def test_what_is_no_backend_is_no_setting(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    with pytest.raises(SettingsError, match=r"score\.backend"):
        load_settings(config, ["score.backend=tensorrt"])


def test_the_gate_s_bounds_rescore_only_what_passed_a_gate(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)

    def fingerprint(*overrides: str) -> dict[str, str]:
        return dict(make_plan(config, overrides).score_settings)

    assert fingerprint() == fingerprint("score.min_agreement=0.9")
    assert fingerprint() != fingerprint("score.backend=onnx-int8")
    assert fingerprint("score.backend=auto") != fingerprint("score.backend=auto", "score.min_agreement=0.9")
