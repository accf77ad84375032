"""The stages, from files to lists: better than the baselines, the same again, named by what they were made with."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mapring.contract import is_published, read_manifest
from mapring.contract.schemas import PAIR, RECOMMENDED
from mapring.contract.verify import verify
from mapring.errors import InputError, SettingsError, StageError
from mapring.plan import Plan, make_plan
from pipelines.stages import published, stages_of
from pipelines.status import recommend_rows
from spark_jobs.pairs import pairs
from spark_jobs.preprocess import preprocess
from spark_jobs.recommend import recommend
from tests.spark_jobs.recommending.made import made_events, write_behaviour
from tests.tiny import write_tokenizer
from tests.tiny_modes import publish_made

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

ITEMS = 60


def plan_of(root: Path, *overrides: str) -> Plan:
    if not (root / "ratings.csv").exists():
        write_behaviour(root, made_events(users=60, items=ITEMS))
        write_tokenizer(root / "tokenizer")
        (root / "tokenizer" / "config.json").write_text("{}")
    columns = {"user_column": "who", "item_column": "what", "rating_column": "stars", "time_column": "when"}
    values = {
        "name": "films",
        "run_dir": str(root / "run"),
        "preprocess": {
            "inputs": [
                {
                    "name": "pairs",
                    "path": "pairs:",
                    "format": "parquet",
                    "text_column": "user_text",
                    "second_text_column": "item_text",
                    "group_column": "user",
                }
            ],
            "tokenizer": str(root / "tokenizer"),
            "lanes": 1,
        },
        "train": {"task": "embed", "model": str(root / "tokenizer"), "global_batch": 8},
        "recommend": {
            "interactions": {"path": str(root / "ratings.csv"), "format": "csv", **columns},
            "items": {
                "path": str(root / "films.csv"),
                "format": "csv",
                "id_column": "id",
                "text_column": "title",
                "tags_column": "genres",
            },
            "candidates": 20,
            "trees": {"rounds": 30, "rows_per_leaf": 5},
            "top_k": 5,
        },
        "ring": {"ranks": 1},
        "spark": {"master": "local[2]"},
    }
    config = root / "films.yaml"
    config.write_text(yaml.safe_dump(values))
    return make_plan(str(config), overrides)


def rows_of(directory: str) -> pa.Table:
    return pa.concat_tables(pq.read_table(Path(directory, entry.path)) for entry in read_manifest(directory).files)


def test_lists_without_a_model_are_of_the_user_s_kind_new_and_the_same_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "recommend.model=false", "spark.partitions=1")
    assert published("recommend", plan) is None
    recommend(plan)
    assert published("recommend", plan) == f"recommendations {plan.recommendations} are already published"
    lists = rows_of(plan.recommendations_directory)
    assert lists.schema.remove_metadata() == RECOMMENDED
    events = made_events(users=60, items=ITEMS)
    had = {
        (f"u{user:03d}", f"i{item:03d}") for user, item in zip(events.user.tolist(), events.item.tolist(), strict=True)
    }
    own = []
    for row in lists.to_pylist():
        assert (row["user"], row["item"]) not in had and row["model_fingerprint"] is None
        assert row["ranker_fingerprint"] == plan.recommender
        own.append((int(row["user"][1:]) - int(row["item"][1:])) % 2 == 0)
    assert len(lists) == 60 * 5 and sum(own) > 0.9 * len(own)
    interest = {(row["user"], row["rank"]): row["interest"] for row in lists.to_pylist()}
    assert all(interest[user, rank] >= interest[user, rank + 1] for user, rank in interest if rank < 5)
    found = read_manifest(plan.recommender_directory).details["evaluation"]
    assert set(found["baselines"]) == {"popularity", "item_knn", "tfidf"}
    assert found["test"]["ndcg_at_10"] > found["baselines"]["popularity"]["ndcg_at_10"] + 0.05
    assert len(found["gains"]["ours"]) == found["test"]["moments"] > 10
    counts = read_manifest(plan.recommendations_directory).details["counts"]
    assert counts["left_out"] == {"missing_user": 1, "missing_time": 1, "unknown_item": 1}
    assert verify(plan.recommendations_directory) == [] and verify(plan.recommender_directory) == []
    again = plan_of(
        tmp_path, "recommend.model=false", f"run_dir={tmp_path}/again", "spark.partitions=3", "spark.split_bytes=2048"
    )
    recommend(again)
    for directory, other in (
        (plan.recommendations_directory, again.recommendations_directory),
        (plan.recommender_directory, again.recommender_directory),
    ):
        assert read_manifest(directory).files == read_manifest(other).files
    longer = plan_of(tmp_path, "recommend.model=false", "recommend.top_k=7")
    assert longer.recommender == plan.recommender and longer.recommendations != plan.recommendations


def test_pairs_become_the_corpus_and_its_model_is_named_by_the_lists(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan.awaits_pairs and stages_of(plan.settings) == ("pairs", "preprocess", "train", "recommend")
    with pytest.raises(StageError, match=r"found no pairs at .*; run `mapring pairs"):
        preprocess(plan)
    pairs(plan)
    made = rows_of(plan.pairs_directory)
    assert made.schema.remove_metadata() == PAIR and verify(plan.pairs_directory) == []
    assert set(made.column("label").to_pylist()) == {"liked"}
    known = plan_of(tmp_path)
    assert not known.awaits_pairs and known.pairs == plan.pairs and known.shards != plan.shards
    preprocess(known)
    assert read_manifest(known.shards_directory).details["counts"]["read"] == len(made)
    with pytest.raises(StageError, match="found no model at"):
        recommend(known)
    publish_made(Path(known.model_directory), "embed", fingerprint=known.model)
    recommend(known)
    lists = rows_of(known.recommendations_directory)
    assert set(lists.column("model_fingerprint").to_pylist()) == {known.model}
    features = read_manifest(known.recommender_directory).details["features"]
    assert "similarity" in features and verify(known.recommender_directory) == []
    assert [row[:2] for row in recommend_rows(known)] == [("pairs", "published"), ("recommend", "published")]


def test_what_cannot_be_recommended_from_is_refused(tmp_path: Path) -> None:
    for words, match in (
        (["recommend.interactions.user_column=nobody"], "recommend.interactions.user_column: .* no column 'nobody'"),
        (["recommend.items.path=nowhere.csv"], r"recommend.items.path: found no file at 'nowhere.csv'"),
        (["recommend.model_share=0.8"], "test_share: found 0.3 beside model_share=0.8"),
        (["recommend=null"], "found 'pairs:' without a section recommend"),
    ):
        with pytest.raises(SettingsError, match=match):
            plan_of(tmp_path, *words)
    with pytest.raises(InputError, match="found no row with user, time and an item"):
        recommend(
            plan_of(tmp_path, "recommend.model=false", "recommend.interactions.item_column=who", "recommend.top_k=3")
        )
    films = tmp_path / "films.csv"
    films.write_text(f"{films.read_text()}i000,again,space\n")
    with pytest.raises(InputError, match="found the item 'i000' twice"):
        recommend(plan_of(tmp_path, "recommend.model=false"))
    assert not is_published(plan_of(tmp_path, "recommend.model=false").recommendations_directory)
