"""The stages, from files to lists: better than the baselines, the same again, named by what they were made with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from pyspark.sql import SparkSession

from mapring.contract import is_published, publish, read_manifest
from mapring.contract.schemas import PAIR, RECOMMENDED
from mapring.contract.verify import verify
from mapring.errors import InputError, SettingsError, StageError
from mapring.pairs import SEPARATOR
from mapring.plan import Plan, make_plan
from pipelines.stages import published, stages_of
from pipelines.status import recommend_rows
from spark_jobs.fitting import start_fitted_session
from spark_jobs.pairs import pairs
from spark_jobs.preprocess import preprocess
from spark_jobs.ranking.published import open_trees
from spark_jobs.recommend import recommend
from spark_jobs.recommending.reading import read_all
from spark_jobs.recommending.reranker import taught_until
from spark_jobs.recommending.timeline import moments
from spark_jobs.recommending.vectors import embedded
from tests.spark_jobs.recommending.made import made_events, write_behaviour
from tests.tiny import write_tokenizer
from tests.tiny_modes import made_model, publish_made
from tests.training.shards import tiny_model
from tests.training.tiny_plan import WORDS

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

ITEMS = 60
KINDS = ("good", "bad")  # words that the tiny models know


def plan_of(root: Path, *overrides: str) -> Plan:
    if not (root / "ratings.csv").exists():
        write_behaviour(root, made_events(users=60, items=ITEMS), kinds=KINDS)
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


def session_of(plan: Plan) -> SparkSession:
    inputs = (plan.recommending.interactions.as_input, plan.recommending.items.as_input)
    return start_fitted_session("recommend", plan.settings, inputs, (*plan.interaction_sources, *plan.item_sources))


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
    until = moments(made_events(users=60, items=ITEMS), (0.4, 0.3))[0]
    assert max(float(time) for time in made.column("time").to_pylist()) < until
    link = {"kind": "shards", "fingerprint": known.shards}
    learned = replace(read_manifest(known.shards_directory), kind="model", inputs=(link,), files=())
    assert publish(known.run.model("d" * 16), learned) and taught_until(known.run.model("d" * 16)) == until
    with pytest.raises(StageError, match="found no model at"):
        recommend(known)
    publish_made(Path(known.model_directory), "embed", fingerprint=known.model)
    recommend(known)
    lists = rows_of(known.recommendations_directory)
    assert set(lists.column("model_fingerprint").to_pylist()) == {known.model}
    features = read_manifest(known.recommender_directory).details["features"]
    assert "similarity" in features and verify(known.recommender_directory) == []
    assert [row[:2] for row in recommend_rows(known)] == [("pairs", "published"), ("recommend", "published")]


def reranked(directory: Path, *more: str) -> tuple[str, ...]:
    """Overrides of a pipeline whose lists a model elsewhere puts in a new order; the tiny models' labels are others."""
    section = f"{{model: {directory}, label: good, candidates: 8}}"
    return ("recommend.model=false", f"recommend.reranker={section}", "recommend.trees.rounds=10", *more)


def publish_reader(directory: Path, *, broken: str | None = None, fingerprint: str = "e" * 16) -> None:
    """Publish a tiny model that reads pairs; it fails on those that hold a word."""
    vocabulary = json.loads(
        (tiny_model(directory.parent / f"{directory.name}-words", WORDS) / "tokenizer.json").read_text()
    )["model"]["vocab"]
    torch.manual_seed(5)
    model = made_model("classify", vocabulary)
    if broken is not None:
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight[vocabulary[broken]] = torch.nan  # type: ignore[union-attr, operator, index]
    texts = [f"the day{SEPARATOR}a film", f"a book{SEPARATOR}it was so good", f"very{SEPARATOR}fine"] * 8
    publish_made(directory, "classify", model=model, is_pair=True, texts=texts, fingerprint=fingerprint)


def test_lists_are_put_in_a_new_order_by_a_model_of_pairs_and_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = tmp_path / "elsewhere/models" / ("e" * 16)
    publish_reader(reader)
    plan = plan_of(tmp_path, *reranked(tmp_path / "elsewhere", "spark.partitions=1"))
    assert plan.named_reranker == plan.reranker_directory == str(reader)
    recommend(plan)
    told = capsys.readouterr().err
    assert "was not trained on pairs of `mapring pairs`" in told and "re-ranking: NDCG@10" in told
    manifest = read_manifest(plan.recommender_directory)
    found = manifest.details["evaluation"]
    assert found["reranking"]["rows"] == 8 * found["moments"] and found["reranking"]["unread"] == 0
    assert set(found["test_before_reranking"]) == set(found["test_reranked_without_model"]) == {
        "hr_at_10", "ndcg_at_10", "coverage"
    }  # fmt: skip
    assert len(found["gains"]["before_reranking"]) == found["test"]["moments"]
    assert manifest.details["reranking_seconds"] > 0
    assert open_trees(plan.recommender_directory, manifest, "mapring recommend", "reranked").width == (
        len(manifest.details["features"]) + 2
    )
    rows = rows_of(plan.recommendations_directory).to_pylist()
    interest = {(row["user"], row["rank"]): row["interest"] for row in rows}
    assert len(rows) == 60 * 5
    assert all(interest[user, rank] >= interest[user, rank + 1] for user, rank in interest if rank < 5)
    again = plan_of(
        tmp_path, *reranked(reader, f"run_dir={tmp_path}/again", "spark.partitions=3", "spark.split_bytes=2048")
    )
    assert again.recommender == plan.recommender, "named by what the model is, not where"
    recommend(again)
    for directory, other in (
        (plan.recommendations_directory, again.recommendations_directory),
        (plan.recommender_directory, again.recommender_directory),
    ):
        assert read_manifest(directory).files == read_manifest(other).files
        assert verify(directory) == []
    (reader / "published.json").rename(reader / "gone.json")
    assert [str(reader) in problem for problem in verify(plan.recommender_directory)] == [True]


def test_pairs_that_the_model_fails_on_do_not_end_the_run_unless_they_are_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = tmp_path / "reader"
    publish_reader(reader, broken="bad")
    with pytest.raises(StageError, match=r"failed on [\d,]+ of [\d,]+ pairs of texts, allowed are 5.0%"):
        recommend(plan_of(tmp_path, *reranked(reader)))
    plan = plan_of(tmp_path, *reranked(reader, "recommend.reranker.max_failed_share=1"))
    recommend(plan)
    assert "their places are decided without it" in capsys.readouterr().err
    found = read_manifest(plan.recommender_directory).details["evaluation"]["reranking"]
    assert 0 < found["unread"] < found["rows"]
    assert len(rows_of(plan.recommendations_directory)) == 60 * 5


def test_items_are_normalized_as_a_whole_and_have_ids_without_blanks(tmp_path: Path) -> None:
    config = plan_of(tmp_path).config
    told = "id,title,genres,plot\n i1 ,Heat &amp; dust,Crime &amp; more|bob@example.org,ask ann@example.org &amp; co\n"
    (tmp_path / "films.csv").write_text(f"{told},nobody's,none,\ni2,Plain,,\n")
    (tmp_path / "ratings.csv").write_text("who,what,stars,when\nu1,i1,5,1\nu1, i2 ,4,2\nu2,,5,3\n")
    known = make_plan(
        config,
        [
            "recommend.items.description_column=plot",
            "preprocess.normalization.redact=[email]",
            "preprocess.normalization.unescape_html=true",
        ],
    )
    found = read_all(session_of(known), known, known.recommending, "recommend")
    assert list(found.items) == ["i1", "i2"] and found.left_out == {"missing_item": 1}
    assert list(found.texts) == ["Heat & dust. ask <email> & co", "Plain"]
    assert list(found.tags) == [["<email>", "Crime & more"], []]
    assert found.events.item.tolist() == [0, 1]


def test_texts_that_the_model_fails_on_do_not_end_the_run_unless_they_are_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vocabulary = json.loads((tiny_model(tmp_path / "words", WORDS) / "tokenizer.json").read_text())["model"]["vocab"]
    model = made_model("embed", vocabulary)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[vocabulary["bad"]] = torch.nan  # type: ignore[union-attr, operator, index]
    publish_made(tmp_path / "model", "embed", model=model, texts=["the day", "a book", "very fine"] * 8)
    texts = ["the day", "so bad", "a book"]
    own = {"directory": str(tmp_path / "model"), "batch_tokens": 64, "stage": "recommend", "what": "items"}
    spark = session_of(plan_of(tmp_path))
    with pytest.raises(StageError, match=r"failed on 1 of 3 texts of items, allowed are 30.0% .*max_failed_share"):
        embedded(spark, texts, allowed_share=0.3, **own)
    found = embedded(spark, texts, allowed_share=0.5, **own)
    assert [bool(row.any()) for row in found] == [True, False, True]
    assert "failed on 1 of 3 texts of items; they are like no other" in capsys.readouterr().err


def test_what_cannot_be_recommended_from_is_refused(tmp_path: Path) -> None:
    for words, match in (
        (["recommend.interactions.user_column=nobody"], "recommend.interactions.user_column: .* no column 'nobody'"),
        (["recommend.items.description_column=plot"], "recommend.items.description_column or tags_column: .* 'plot'"),
        (["recommend.items.path=nowhere.csv"], r"recommend.items.path: found no file at 'nowhere.csv'"),
        (["recommend.model_share=0.8"], "test_share: found 0.3 beside model_share=0.8"),
        ([f"recommend.reranker={tmp_path}/nowhere"], r"recommend.reranker.model: .*nowhere: found no published.json"),
        (["recommend.reranker={}"], "reranker.model: found none beside model=true"),
        (["recommend.reranker={}", "recommend.model=false"], "found none with train.task=embed on pairs"),
        (
            ["recommend.reranker={}", "recommend.model=false", "train.task=classify"],
            "recommend.pair_negatives: found 0 with recommend.reranker",
        ),
        (["recommend=null"], "found 'pairs:' without a section recommend"),
        (["recommend.pair_negatives=4"], r"recommend.pair_negatives: found 4 with train.task=embed, .* set it to 0"),
        (["recommend.candidates=5000"], "recommend.candidates: .*less than or equal to 1000"),
    ):
        with pytest.raises(SettingsError, match=match):
            plan_of(tmp_path, *words)
    with pytest.raises(InputError, match="found no row with user, time and an item"):
        recommend(
            plan_of(tmp_path, "recommend.model=false", "recommend.interactions.item_column=who", "recommend.top_k=3")
        )
    with pytest.raises(InputError, match=r"liked_from: found 9, but no rating above 5, so nothing is a like; lower it"):
        recommend(plan_of(tmp_path, "recommend.model=false", "recommend.liked_from=9"))
    films = tmp_path / "films.csv"
    films.write_text(f"{films.read_text()}i000,again,space\n")
    with pytest.raises(InputError, match="found the item 'i000' twice"):
        recommend(plan_of(tmp_path, "recommend.model=false"))
    assert not is_published(plan_of(tmp_path, "recommend.model=false").recommendations_directory)
