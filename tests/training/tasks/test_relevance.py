"""Candidates of queries: whose they are, what they gain, and the same figures on any number of ranks."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from tests.training.shards import Document
from tests.training.tasks.helpers import assert_evaluated_alike
from tests.training.tasks.test_language_model import batch_of
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import COMMON, WORDS
from training.reader import Batch, ShardReader
from training.ring.single import SingleRing
from training.tasks.relevance import RankedPairs, figures_of_targets, figures_of_two_labels

ENDS = "score=null"


def candidates(queries: int) -> dict[str, list[Document]]:
    """Pairs of `queries` first texts with three second texts each, one of them relevant, in two splits."""
    chance = random.Random(3)
    found = []
    for query in {" ".join(chance.sample(COMMON, 4)) for _ in range(queries)}:
        for number, word in enumerate(chance.sample(WORDS, 3)):
            found.append(Document(query, label_id=int(number == 1), target=number - 5.0, second_text=word))
    found.sort(key=lambda document: (document.text, document.second_text))
    return {"train": found[: len(found) // 2], "validation": [], "test": found[len(found) // 2 :]}


def batch_of_pairs(*texts: tuple[str, str]) -> Batch:
    batch = batch_of([[2, 3]] * len(texts))
    batch.texts = ["\x1e".join(pair) for pair in texts]
    return batch


def test_rows_of_one_first_text_are_ranked_whatever_rank_has_them() -> None:
    pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    scores, targets = np.array([2.0, 1.0, 3.0, 4.0]), np.array([-7.0, -5.0, -7.0, -6.0])
    second = 1 / math.log2(3)

    def figures(ring: ThreadRing | SingleRing, rows: slice) -> list[dict]:
        own = []
        for given in (targets, (targets > -7).astype(float)):
            ranked = RankedPairs()
            ranked.add(batch_of_pairs(*pairs), np.arange(4)[rows], scores[rows], given[rows])
            own.append((figures_of_two_labels if given.max() > 0 else figures_of_targets)(ring, ranked))
        return own

    of_targets, of_labels = figures(SingleRing(), slice(None))
    assert of_targets == {"ndcg_at_10": pytest.approx((second + 1) / 2), "ranked_queries": 2}  # gains 0, 2, 0, 1
    assert of_labels["ndcg_at_10"] == of_targets["ndcg_at_10"] and of_labels["roc_auc"] == 0.5
    for both in run_ranks(2, lambda ring: figures(ring, slice(ring.rank, None, 2))):
        assert both == [of_targets, of_labels]


@pytest.mark.parametrize(("task", "kind"), [("classify", "one"), ("regression", "number")])
def test_an_evaluation_of_pairs_ranks_them(make_tiny_plan: PlanMaker, task: str, kind: str) -> None:
    plan = make_tiny_plan(ENDS, f"train.task={task}", documents=candidates(40), label_kind=kind)
    training, _ = prepare(plan)
    found = assert_evaluated_alike(training, plan)
    texts = [
        text.split("\x1e")[0]
        for batch in ShardReader(plan.shards_directory, "test", text=True).rows()
        for text in batch.texts
    ]
    assert found["ranked_queries"] in (len(set(texts)), len(set(texts)) - 1)  # the first may be cut between splits
    assert 0 < found["ndcg_at_10"] <= 1


def test_single_texts_are_not_ranked(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()
    training, _ = prepare(plan)
    assert "ndcg_at_10" not in training.task.evaluate(training.model, SingleRing(), plan.shards_directory, "test")
