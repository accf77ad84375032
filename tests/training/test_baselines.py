"""Baselines of each task: by hand where that is possible, and better than nothing where words tell the answer."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from mapring.contract.schemas import LabelKind
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from tests.training.shards import Document
from tests.training.tiny_plan import BAD, GOOD, made_documents
from training.baselines import baselines, best_of, labels, retrieval
from training.baselines.texts import word_weights
from training.reader import ShardReader
from training.tasks import open_task

NOTHING = torch.nn.Module()  # a model that only those of language models are asked of


def found_of(plan: Plan) -> dict[str, dict]:
    return baselines(open_task(plan), NOTHING, plan.shards_directory)


def of_kinds(documents: list[Document]) -> list[Document]:
    """Label 0 with a word of BAD, label 1 with one of GOOD, label 2 never; the target is 100 more with one of GOOD."""
    found = []
    for document in documents:
        words = set(document.text.split())
        own = [number for number, kind in enumerate((BAD, GOOD)) if words & set(kind)]
        found.append(document._replace(label_ids=own, target=1000.0 + 100 * (1 in own)))
    return found


@pytest.fixture
def splits() -> dict[str, list[Document]]:
    documents = of_kinds(made_documents(200))  # labels take turns
    return {"train": documents[:151], "validation": [], "test": documents[151:191]}


def test_sets_of_labels(
    make_tiny_plan: PlanMaker, splits: dict, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["bad", "good", "never"]
    plan = make_tiny_plan("train.task=multilabel", documents=splits, labels=names, label_kind="several")
    found = found_of(plan)
    assert found["most_frequent_set"]["train_rows"] == 151  # 76 of them are bad
    assert found["most_frequent_set"]["subset_accuracy"] == 0.5
    assert found["most_frequent_set"]["micro_f1"] == 0.5  # of 40 answers 20 are right, and 20 are missed
    assert found["most_frequent_set"]["macro_f1"] == pytest.approx(2 / 3 / 3)
    assert found["tfidf_one_vs_rest"]["subset_accuracy"] > 0.9
    assert found["tfidf_one_vs_rest"]["per_label"][2]["support"] == 0
    assert re.fullmatch(r" \(TF-IDF 0\.\d{3}\)", best_of(found))
    monkeypatch.setattr(labels, "MOST_LABELS", 2)
    assert found_of(plan).keys() == {"most_frequent_set"}
    assert "found 3 labels, which is done for up to 2" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("task", "kind", "left"),
    [("classify", "one", "majority"), ("multilabel", "several", "most_frequent_set"), ("regression", "number", "mean")],
)
def test_texts_without_words_have_baselines_without_words(
    make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str], task: str, kind: LabelKind, left: str
) -> None:
    documents = [
        Document(f"a {sign} !", number % 2, label_ids=[number % 2], target=float(number))
        for number, sign in enumerate("bcdefghijklmnopqrstuvwxyz" * 2)
    ]
    splits = {"train": documents[:34], "validation": [], "test": documents[34:]}
    found = found_of(make_tiny_plan(f"train.task={task}", documents=splits, label_kind=kind))
    assert found.keys() == {left}
    assert "no TF-IDF baseline: found no word of two letters" in capfd.readouterr().err


def test_numbers(make_tiny_plan: PlanMaker, splits: dict) -> None:
    plan = make_tiny_plan("train.task=regression", documents=splits, label_kind="number")
    found = found_of(plan)
    mean = 1000 + 100 * 75 / 151
    assert found["mean"]["mse"] == pytest.approx(((1000 - mean) ** 2 + (1100 - mean) ** 2) / 2)
    assert found["mean"]["spearman"] is None and found["mean"]["r2"] <= 0
    assert found["tfidf_ridge"]["r2"] > 0.7 and found["tfidf_ridge"]["rows"] == 40
    none = make_tiny_plan(
        "train.task=regression", "preprocess.lanes=2", documents={**splits, "test": []}, label_kind="number"
    )
    assert found_of(none) == {}


def test_pairs_by_their_rare_words(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [("good day", "day good"), ("bad film", "the film"), ("great book", "was so")]
    documents = [Document(first, second_text=second) for first, second in pairs]
    train = [Document(f"{first} a", second_text=second) for first, second in pairs]
    plan = make_tiny_plan(
        "train.task=embed", documents={"train": train, "validation": [], "test": documents}, labels=[]
    )
    found = found_of(plan)["tfidf_cosine"]
    # the first two find theirs alone; the third has no word in common with any, and all three are tied
    assert found["mean_reciprocal_rank"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert (found["rows"], found["recall_at_1"], found["recall_at_10"]) == (3, pytest.approx(2 / 3), 1.0)
    monkeypatch.setattr(retrieval, "MOST_ROWS", 2)
    assert found_of(plan) == {} and "found 3 test rows" in capfd.readouterr().err


def test_tokens_by_their_frequency(make_tiny_plan: PlanMaker) -> None:
    lstm = "train.model={architecture: lstm, config: {embedding_size: 4, hidden_size: 4}}"
    plan = make_tiny_plan("train.task=clm", lstm, "score=null")
    training, _ = prepare(plan)
    found = baselines(training.task, training.model, plan.shards_directory)["unigram"]
    train, test = (
        np.concatenate(
            [ids[1:] for batch in ShardReader(plan.shards_directory, split).rows() for ids in batch.input_ids]
        )
        for split in ("train", "test")
    )
    counts = np.bincount(train, minlength=training.model.config.vocab_size) + 1
    loss = -np.log(counts[test] / counts.sum()).mean()
    assert found["tokens"] == len(test) and found["loss"] == pytest.approx(loss, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["accuracy"] == pytest.approx((test == counts.argmax()).mean())
    assert best_of({}) == "" and best_of({"unigram": found}).startswith(" (unigram ")


def test_a_chinese_character_is_a_word() -> None:
    words = word_weights().build_analyzer()("这hotel很好, a OK 2024")
    assert words == ["这", "hotel", "很", "好", "ok", "2024", "这 hotel", "hotel 很", "很 好", "好 ok", "ok 2024"]


@pytest.mark.parametrize("text", ["It's a café, 3rd floor; naïve_x", "สวัสดี ครับ", "مرحبا بالعالم", "안녕 하세요"])
def test_words_of_other_languages_are_those_of_scikit_learn(text: str) -> None:
    assert word_weights().build_analyzer()(text) == TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()(text)
