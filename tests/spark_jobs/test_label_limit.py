"""At most so many training documents of a label: which ones, conservation, and the ledger's rule for the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from mapring.contract import Manifest, read_manifest
from mapring.contract.verify import verify
from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings import load_settings, output_settings
from spark_jobs.explain import explain
from spark_jobs.label_limit import mark_beyond_limit
from spark_jobs.preprocess import preprocess
from spark_jobs.records import document_id
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
SCHEMA = "doc_id string, content_hash string, split string, label string"
ROWS = [
    *[(f"{number}", document_id(f"{number}"), "train", "ab"[number % 3 == 0]) for number in range(60)],
    ("61", document_id("61"), "train", "c"),
    ("62", document_id("62"), "train", None),
    *[(f"{number}", document_id(f"{number}"), "test", "a") for number in range(70, 90)],
]


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    session = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    session.conf.set("spark.sql.shuffle.partitions", "4")
    return session


def _staying(documents: DataFrame, most: int, seed: int = 17) -> set[str]:
    return {row["doc_id"] for row in mark_beyond_limit(documents, most, seed).where("rule is null").collect()}


def test_of_each_label_as_many_stay_as_the_limit_says_and_other_splits_are_left_alone(spark: SparkSession) -> None:
    documents = spark.createDataFrame(ROWS, SCHEMA)
    marked = mark_beyond_limit(documents, 7, 17).collect()
    assert sorted(row["doc_id"] for row in marked) == sorted(row[0] for row in ROWS)
    staying = Counter((row["split"], row["label"]) for row in marked if row["rule"] is None)
    assert staying == {("train", "a"): 7, ("train", "b"): 7, ("train", "c"): 1, ("train", None): 1, ("test", "a"): 20}
    assert {(row["label"], row["measured"], row["threshold"]) for row in marked if row["rule"]} == {
        ("a", "40", "7"),
        ("b", "20", "7"),
    }


def test_who_stays_hangs_on_seed_and_content_only_and_a_larger_limit_keeps_them(spark: SparkSession) -> None:
    documents = spark.createDataFrame(ROWS, SCHEMA)
    few = _staying(documents, 5)
    assert few == _staying(spark.createDataFrame(ROWS[::-1], SCHEMA).repartition(7), 5)
    assert few < _staying(documents, 9) and few != _staying(documents, 5, seed=18)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest]:
    config, _ = write_world(tmp_path_factory.mktemp("world"), train_rows_per_label=5)
    plan = make_plan(config)
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory)


def _drops(plan: Plan, manifest: Manifest) -> list[dict[str, Any]]:
    files = [Path(plan.shards_directory, entry.path) for entry in manifest.files_below("drops")]
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def test_what_is_beyond_stands_in_the_ledger_with_its_numbers(limited: tuple[Plan, Manifest]) -> None:
    plan, manifest = limited
    counts, directory = manifest.details["counts"], Path(plan.shards_directory)
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    beyond = [row for row in _drops(plan, manifest) if row["rule"] == "label_limit"]
    assert len(beyond) == counts["dropped"]["label_limit"] > 100
    assert {row["stage"] for row in beyond} == {"limit"} and {row["threshold"] for row in beyond} == {"5"}
    assert all(int(row["measured"]) > 5 and row["kept_doc_id"] is None for row in beyond)
    kept = [
        (split, row["label_id"], row["doc_id"])
        for split, details in manifest.details["splits"].items()
        for lane in details["shards"]
        for part in lane
        for row in pq.read_table(directory / part["path"]).to_pylist()
    ]
    of_label = Counter(label for split, label, _ in kept if split == "train")
    assert len(of_label) == 3 and set(of_label.values()) == {5}
    assert not {row["doc_id"] for row in beyond} & {doc_id for _, _, doc_id in kept}
    assert sum(split != "train" for split, _, _ in kept) > 30
    assert verify(plan.shards_directory) == []


def test_the_story_of_a_duplicate_tells_that_its_twin_was_beyond_the_limit(limited: tuple[Plan, Manifest]) -> None:
    plan, manifest = limited
    drops = _drops(plan, manifest)
    beyond = {row["doc_id"]: row for row in drops if row["rule"] == "label_limit"}
    repeated = next(row for row in drops if row["kept_doc_id"] in beyond)
    told = "\n".join(explain(plan, repeated["doc_id"]))
    measured = beyond[repeated["kept_doc_id"]]["measured"]
    assert f"dropped in its turn at stage limit by rule label_limit: measured {measured}, threshold 5" in told


def test_without_a_limit_fingerprints_are_as_they_were(limited: tuple[Plan, Manifest], tmp_path: Path) -> None:
    plan, _ = limited
    again = [make_plan(plan.config, [f"preprocess.train_rows_per_label={most}"]).shards for most in ("null", "5", "6")]
    assert len(set(again)) == 3 and again[1] == plan.shards
    settings = make_plan(plan.config, ["preprocess.train_rows_per_label=null"]).settings.preprocess
    assert "train_rows_per_label" not in output_settings(settings)


def test_a_limit_needs_documents_of_one_label_each(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    with pytest.raises(SettingsError, match="train_rows_per_label: found 3 with labels=several"):
        load_settings(config, ["preprocess.train_rows_per_label=3", "preprocess.labels=several"])
