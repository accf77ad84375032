"""Splits: given ones stand, groups stay together, duplicates never straddle and the protected copy stays."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from mapring.settings import Input, Settings, load_settings
from spark_jobs.dedup.exact import keep_one_of_each
from spark_jobs.records import document_id
from spark_jobs.shards import ShardNames
from spark_jobs.splits import SplitNumbers, assign_splits, keep_groups_together
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
SCHEMA = "doc_id string, content_hash string, group string, given_split string"
INPUTS = (
    Input(name="a", path="a", format="jsonl", group_column="g"),
    Input(name="b", path="b", format="jsonl", group_column="g", split="test"),
)


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    session = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    session.conf.set("spark.sql.shuffle.partitions", "4")
    return session


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(write_world(tmp_path_factory.mktemp("world"))[0])


def test_a_group_is_in_one_split_and_shares_are_near_the_settings(spark: SparkSession, settings: Settings) -> None:
    rows = [(f"{number}", document_id(f"{number}"), f"g{number // 3}", None) for number in range(3000)]
    found = assign_splits(spark.createDataFrame(rows, SCHEMA), settings).select("group", "split").collect()
    by_group: dict[str, set[str]] = {}
    for row in found:
        by_group.setdefault(row["group"], set()).add(row["split"])
    assert len(by_group) == 1000 and all(len(splits) == 1 for splits in by_group.values())
    counts = {split: sum(splits == {split} for splits in by_group.values()) for split in ("test", "validation")}
    assert 150 < counts["test"] < 250 and 65 < counts["validation"] < 135


def test_what_has_no_group_is_split_by_content_and_what_is_given_stays(spark: SparkSession, settings: Settings) -> None:
    rows = [(f"{number}", document_id(f"{number}"), None, None) for number in range(200)]
    plain = {
        row["doc_id"]: row["split"] for row in assign_splits(spark.createDataFrame(rows, SCHEMA), settings).collect()
    }
    assert set(plain.values()) == {"train", "validation", "test"}
    given = [(doc_id, content, group, "validation") for doc_id, content, group, _ in rows]
    assert {row["split"] for row in assign_splits(spark.createDataFrame(given, SCHEMA), settings).collect()} == {
        "validation"
    }


def test_a_group_goes_to_the_most_protected_split_that_any_of_it_was_given(spark: SparkSession) -> None:
    rows = [
        ("1", "a", "x", None),
        ("2", "b", "x", "train"),
        ("3", "c", "x", "test"),
        ("4", "d", "y", "train"),
        ("5", "e", "y", None),
        ("6", "f", "z", "validation"),
        ("7", "g", "z", "train"),
        ("8", "h", "w", None),
        ("9", "i", None, "test"),
        ("10", "j", None, None),
    ]
    frame = spark.createDataFrame(rows, SCHEMA)
    together = keep_groups_together(frame, INPUTS)
    assert together.columns == frame.columns
    found = {row["doc_id"]: row["given_split"] for row in together.collect()}
    expected = ["test", "test", "test", "train", "train", "validation", "validation", None, "test", None]
    assert found == {f"{number}": split for number, split in enumerate(expected, 1)}
    assert keep_groups_together(frame, INPUTS[:1]) is frame, "nothing to do where no input gives a split"


def test_of_equal_texts_the_copy_of_the_most_protected_split_stays(spark: SparkSession) -> None:
    rows = [
        (f"{content}-{copy}-{split}", f"{content}", None, None if split == "hash" else split)
        for content in range(40)
        for copy in range(3)
        for split in (["hash", "train", "validation", "test"][: 2 + content % 3])
    ]
    kept = keep_one_of_each(spark.createDataFrame(rows, SCHEMA).repartition(5), seed=3).collect()
    stays = {int(row["content_hash"]): row["kept_doc_id"].split("-")[-1] for row in kept}
    assert len(stays) == 40
    assert {stays[content] for content in stays if content % 3 == 2} == {"test"}
    assert {stays[content] for content in stays if content % 3 == 1} == {"validation"}
    assert {stays[content] for content in stays if content % 3 == 0} == {"hash", "train"}, "these are equals"


def test_shards_are_numbered_split_by_split_and_lane_by_lane() -> None:
    of_lane = {"train": 2, "validation": 0, "test": 1}
    numbers = SplitNumbers({split: 3 * count for split, count in of_lane.items()})
    assert numbers.first() == {"train": 0, "validation": 6, "test": 6} and numbers.total() == 9
    names = [ShardNames(numbers, of_lane)(number) for number in range(9)]
    train = [f"train-{lane:05d}-{shard:05d}" for lane in range(3) for shard in range(2)]
    assert names == [*train, "test-00000-00000", "test-00001-00000", "test-00002-00000"]
