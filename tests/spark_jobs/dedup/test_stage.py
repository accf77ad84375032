"""Duplicates of a corpus: the true similarity decides, kept documents are no duplicates, twins are kept ones."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from mapring.settings.dedup import NearDuplicates
from mapring.settings.load import load_settings
from spark_jobs.dedup.candidates import LEADERS, bundle_bands, candidate_pairs, pair_batches
from spark_jobs.dedup.classes import NEW
from spark_jobs.dedup.minhash import band_keys, signatures
from spark_jobs.dedup.near import find_near_duplicates
from spark_jobs.dedup.shingles import shingle
from spark_jobs.dedup.sketches import NODE_BYTES
from spark_jobs.dedup.stage import mark_duplicates
from spark_jobs.records import document_id
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
WORDS = [f"{a}{b}" for a in "bcdfg" for b in "aeiou"]


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    session = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    session.conf.set("spark.sql.shuffle.partitions", "4")
    return session


def made_texts() -> list[str]:
    """Forty texts of 60 words, each with five versions in which some words are changed."""
    chance = random.Random(5)
    texts = []
    for _ in range(40):
        words = chance.choices(WORDS, k=60)
        for changes in (0, 1, 1, 3, 8):
            version = list(words)
            for place in chance.sample(range(60), changes):
                version[place] = "changed"
            texts.append(" ".join(version))
    return sorted(set(texts))


def node(number: int) -> bytes:
    return NEW + number.to_bytes(NODE_BYTES - 1, "big")


def shingles_of(text: str, length: int = 3) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def similarity(first: str, second: str, measure: str) -> float:
    one, two = shingles_of(first), shingles_of(second)
    return len(one & two) / (len(one | two) if measure == "jaccard" else min(len(one), len(two)))


def frame(spark: SparkSession, texts: list[str], partitions: int, given: list[str | None] | None = None) -> DataFrame:
    splits = given or [None] * len(texts)
    rows = [
        (document_id(f"{number}"), text, document_id(text), split)
        for number, (text, split) in enumerate(zip(texts, splits, strict=True))
    ]
    schema = "doc_id string, text string, content_hash string, given_split string"
    return spark.createDataFrame(rows, schema).repartition(partitions)


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_what_is_dropped_has_a_similar_kept_twin_and_what_is_kept_has_none(
    spark: SparkSession, tmp_path: Path, measure: str
) -> None:
    texts = made_texts()
    settings = NearDuplicates.model_validate(
        {"enabled": True, "shingle_length": 3, "bands": 40, "rows": 4, "measure": measure, "threshold": 0.7}
    )
    by_id = {document_id(f"{number}"): text for number, text in enumerate(texts)}
    found: list[dict[str, tuple[str, float]]] = []
    for partitions, local_pairs in ((1, 1000), (7, 20)):
        documents = frame(spark, texts, partitions)
        chosen = settings.model_copy(update={"local_pairs": local_pairs})
        rows = find_near_duplicates(documents, chosen, seed=1, run_dir=str(tmp_path), partitions=3).collect()
        found.append({row["doc_id"]: (row["kept_doc_id"], row["similarity"]) for row in rows})
        assert len(rows) == len(found[-1])
    assert found[0] == found[1]
    dropped = found[0]
    for doc_id, (kept, measured) in dropped.items():
        assert kept not in dropped
        assert measured == pytest.approx(similarity(by_id[doc_id], by_id[kept], measure)) and measured >= 0.7
    for first, second in combinations([text for doc_id, text in by_id.items() if doc_id not in dropped], 2):
        assert similarity(first, second, measure) < 0.7
    assert 40 <= len(texts) - len(dropped) < 120
    assert not list((tmp_path / "scratch").iterdir()), "the scratch directory is removed"


def test_a_hot_bucket_costs_leaders_times_documents_and_not_a_square(spark: SparkSession) -> None:
    rows = [(node(number), np.array([1, 100 + number]).tobytes()) for number in range(500)]
    sketches = spark.createDataFrame(rows, "node binary, bands binary")
    pairs = candidate_pairs(sketches, 3, leaders=4).collect()
    assert len(pairs) == 3 + 2 + 1 + (500 - 4) * 4
    assert {int.from_bytes(row["low"][1:], "big") for row in pairs} == {0, 1, 2, 3}
    small = candidate_pairs(sketches.limit(30), 3, leaders=32).count()
    assert small == 30 * 29 // 2


def test_exact_copies_of_a_dropped_document_follow_it_to_its_twin(spark: SparkSession, tmp_path: Path) -> None:
    base = " ".join(WORDS * 4)
    texts = [base, base, f"{base} end", f"{base} end", "short", "short", "other words are here and no others"]
    config, _ = write_world(tmp_path, duplicates={"near": {"enabled": True, "shingle_length": 3}})
    marked = mark_duplicates(
        frame(spark, texts, 3), load_settings(config), run_dir=str(tmp_path), partitions=3
    ).collect()
    rows: dict[int, Any] = {
        number: next(r for r in marked if r["doc_id"] == document_id(f"{number}")) for number in range(7)
    }
    assert len(marked) == len(texts)
    kept = {number for number, row in rows.items() if row["kept_doc_id"] == row["doc_id"]}
    assert len(kept) == 3 and 6 in kept and len(kept & {0, 1, 2, 3}) == 1 and len(kept & {4, 5}) == 1
    long = next(iter(kept & {0, 1, 2, 3}))
    for number in {0, 1, 2, 3} - kept:
        row = rows[number]
        assert row["kept_doc_id"] == document_id(f"{long}")
        same = texts[number] == texts[long]
        assert row["duplicate_rule"] == ("exact_duplicate" if same else "near_duplicate")
        assert row["duplicate_threshold"] == (1.0 if same else 0.8)
        assert row["similarity"] == (1.0 if same else pytest.approx(similarity(texts[number], texts[long], "jaccard")))
    assert {rows[number]["duplicate_rule"] for number in kept} == {None}


def test_of_similar_documents_the_copy_of_the_most_protected_split_stays(spark: SparkSession, tmp_path: Path) -> None:
    texts = made_texts()
    settings = NearDuplicates.model_validate(
        {"enabled": True, "shingle_length": 3, "bands": 40, "rows": 4, "threshold": 0.7}
    )
    order: list[str | None] = [None, "validation", "test"]
    given = [order[number % 3] for number in range(len(texts))]
    documents = frame(spark, texts, 3, given)
    rows = find_near_duplicates(documents, settings, seed=1, run_dir=str(tmp_path), partitions=3).collect()
    number_of = {document_id(f"{number}"): number for number in range(len(texts))}
    dropped = {number_of[row["doc_id"]]: number_of[row["kept_doc_id"]] for row in rows}
    assert len(dropped) > 40
    for number, kept in dropped.items():
        assert order.index(given[kept]) >= order.index(given[number])
    for first, second in combinations(set(range(len(texts))) - set(dropped), 2):
        assert similarity(texts[first], texts[second], "jaccard") < 0.7


def test_documents_shorter_than_a_shingle_are_compared_as_a_whole_only(spark: SparkSession, tmp_path: Path) -> None:
    texts = ["yes sir", "Yes, sir!", "yes sir", "yes", "no", "..."]
    config, _ = write_world(tmp_path, duplicates={"near": {"enabled": True, "shingle_length": 3}})
    settings = load_settings(config)
    rows = mark_duplicates(frame(spark, texts, 2), settings, run_dir=str(tmp_path), partitions=2).collect()
    dropped = [row for row in rows if row["doc_id"] != row["kept_doc_id"]]
    assert [row["text"] for row in dropped] == ["yes sir"] and dropped[0]["duplicate_rule"] == "exact_duplicate"


def families(count: int, boilerplate: int) -> list[str]:
    """Pairs of texts of 100 words that are duplicates (0.81); all texts begin with the same words."""
    chance = random.Random(3)
    shared = [f"b{place}" for place in range(boilerplate)]
    texts = []
    for family in range(count):
        own = [f"f{family}x{place}" for place in range(100 - boilerplate)]
        other = list(own)
        for place in (chance.randrange(6, 12), chance.randrange(18, 24)):
            other[place] = "changed"
        texts += [" ".join(shared + own), " ".join(shared + other)]
    return texts


def test_leaders_lose_few_true_pairs_where_boilerplate_makes_buckets_hot() -> None:
    """1,000 pairs just over the threshold, 70 of 100 words those of all: bands alone propose 0.911, leaders 0.896."""
    texts = pa.array(families(1000, 70))
    keys = band_keys(signatures(shingle(texts, unit="word", length=5), 14 * 8, 17), 14)
    order = random.Random(1).sample(range(len(texts)), len(texts))
    names = [node(place) for place in order]
    assert np.unique(keys, return_counts=True)[1].max() > 3 * LEADERS
    rows = pa.RecordBatch.from_pydict({"node": names, "bands": [row.tobytes() for row in keys]})
    recall = {}
    for leaders in (LEADERS, len(texts)):
        batches = pair_batches(bundle_bands([rows], targets=1), leaders=leaders)
        pairs = {pair for b in batches for pair in zip(*b.to_pydict().values(), strict=True)}
        caught = [tuple(sorted(names[place : place + 2])) in pairs for place in range(0, len(texts), 2)]
        recall[leaders] = sum(caught) / len(caught)
    assert recall[LEADERS] > recall[len(texts)] - 0.02 and recall[LEADERS] > 0.88


@pytest.mark.slow
def test_twenty_thousand_variations_of_one_text_leave_one(spark: SparkSession, tmp_path: Path) -> None:
    base = [f"word{place}" for place in range(80)]
    texts = [" ".join([*base, f"number{n}", f"of{n % 7}"]) for n in range(20_000)]
    settings = NearDuplicates(enabled=True)
    rows = find_near_duplicates(frame(spark, texts, 4), settings, seed=1, run_dir=str(tmp_path), partitions=4).collect()
    assert len(rows) == len(texts) - 1 and len({row["kept_doc_id"] for row in rows}) == 1
    assert all(row["similarity"] >= 0.8 for row in rows)
