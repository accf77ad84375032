"""Embeddings: InfoNCE by hand, groups that no number of ranks changes, learned retrieval, published whole."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModel

from mapring.errors import SettingsError
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics, prepare
from tests.training.shards import Document
from tests.training.tasks.helpers import (
    assert_evaluated_alike,
    golden_of,
    loss_of,
    published,
    scored_pairs,
)
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import BAD, COMMON, GOOD
from training import preparation
from training.precision import choose_precision
from training.reader import Batch, ShardReader
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.tasks import open_task

TOPICS = [*GOOD, *BAD]


def documents(count: int = 360) -> list[Document]:
    """Pairs that have two of eight words in common, between other words."""
    chance, found = random.Random(3), {}
    while len(found) < count:
        topic = chance.sample(TOPICS, 2)
        first, second = ([*chance.choices(COMMON, k=chance.randint(1, 3)), *topic] for _ in range(2))
        chance.shuffle(first)
        chance.shuffle(second)
        found.setdefault((" ".join(first), " ".join(second)), None)
    return [Document(first, second_text=second) for first, second in found]


@pytest.fixture
def plan(make_tiny_plan: PlanMaker, base_model_without_dropout: Path) -> Plan:
    return make_tiny_plan(
        "train.task=embed",
        f"train.model={base_model_without_dropout}",
        "train.epochs=5",
        "train.global_batch=32",
        documents=documents(),
        labels=[],
    )


def embedding_of(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return functional.normalize(hidden.mean(0), dim=0)


def test_the_loss_is_that_of_both_directions_within_a_group(plan: Plan) -> None:
    training, _ = prepare(plan)
    cls, sep = 2, 3
    texts = [([7, 8], [9]), ([10], [11, 12, 13]), ([14], [15]), ([6], [16, 17]), ([18], [19])]
    rows = [[cls, *first, sep, *second, sep] for first, second in texts]
    batch = Batch(
        doc_ids=list("abcde"),
        input_ids=[np.array(row, np.int32) for row in rows],
        label_ids=np.full(5, -100),
        global_rows=5,
        texts=[],
        second_starts=np.array([len(first) + 2 for first, _ in texts]),
        lane_rows=[2, 3],
    )
    task = training.task
    training.model.eval()
    firsts, seconds = (
        torch.stack([embedding_of(training.model, [cls, *pair[side], sep]) for pair in texts]) for side in (0, 1)
    )
    expected = 0.0
    for group in (slice(0, 2), slice(2, 5)):
        scores = firsts[group] @ seconds[group].T / 0.05
        own = torch.arange(len(scores))
        for side in (scores, scores.T):
            expected += float(functional.cross_entropy(side, own, reduction="sum")) / 2
    for max_tokens in (1, 4096):  # every group in a piece of its own, or all in one
        found, weight = loss_of(task, training.model, batch, max_tokens)
        assert weight == 5
        assert found == pytest.approx(expected, rel=1e-4)
    lonely = Batch(
        doc_ids=["a"],
        input_ids=[batch.input_ids[0]],
        label_ids=np.full(1, -100),
        global_rows=1,
        texts=[],
        second_starts=batch.second_starts[:1],
    )
    assert loss_of(task, training.model, lonely) == (0.0, 0.0)  # nothing to tell it from


def test_groups_are_the_rows_of_a_lane_on_any_number_of_ranks(plan: Plan) -> None:
    def groups(size: int) -> list[set[frozenset[str]]]:
        steps: list[set[frozenset[str]]] = []
        for rank in range(size):
            reader = ShardReader(plan.shards_directory, "train", rank=rank, size=size, global_batch=32)
            for number, batch in enumerate(reader.epoch(0)):
                ends = np.cumsum([0, *batch.lane_rows]).tolist()
                assert ends[-1] == len(batch)
                steps += [set()] * (number == len(steps))
                steps[number] |= {frozenset(batch.doc_ids[begin:end]) for begin, end in pairwise(ends) if end > begin}
        return steps

    assert len(groups(1)[0]) == 4
    assert groups(1) == groups(2) == groups(4)


def test_two_ranks_have_the_losses_of_one(
    plan: Plan, tmp_path: Path, make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = preparation.build_trainable(plan, open_task(plan), 40)  # threads share random state
    monkeypatch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))
    fit(plan)
    other = make_tiny_plan(*plan.overrides, f"run_dir={tmp_path}/two", documents=documents(), labels=[])

    def work(ring: ThreadRing) -> None:
        torch.set_num_threads(1)
        fit(other, ring)

    run_ranks(2, work)
    losses = [[line["loss"] for line in metrics(one)] for one in (plan, other)]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-5)
    assert losses[1] == pytest.approx(losses[0], abs=5e-3)


def test_evaluation_is_bit_for_bit_the_same_on_any_number_of_ranks(plan: Plan) -> None:
    training, _ = prepare(plan)
    found = assert_evaluated_alike(training, plan)
    firsts, seconds = [], []
    for batch in ShardReader(plan.shards_directory, "test").rows():
        for ids, start in zip(batch.input_ids, batch.second_starts.tolist(), strict=True):
            firsts.append(embedding_of(training.model, ids[:start].tolist()))
            seconds.append(embedding_of(training.model, [2, *ids[start:].tolist()]))
    scores = torch.stack(firsts) @ torch.stack(seconds).T
    ranks = (scores >= scores.diagonal()[:, None] - 1e-6).sum(1)
    assert found["rows"] == found["queries"] == len(firsts)
    assert found["mean_reciprocal_rank"] == pytest.approx(float((1 / ranks).mean()), abs=0.02)


def test_texts_that_belong_together_are_found_and_published_whole(plan: Plan, capfd) -> None:
    training, _ = prepare(plan)
    before = training.task.evaluate(training.model, training.ring, plan.shards_directory, "test")
    details, stock = published(plan)
    test = details["evaluation"]["test"]
    assert test["recall_at_5"] > 0.5 and test["mean_reciprocal_rank"] > before["mean_reciprocal_rank"]
    assert test["loss"] < before["loss"] and "MRR" in capfd.readouterr().err
    assert metrics(plan)[-1]["samples_per_second"] > 0
    model = AutoModel.from_pretrained(stock, local_files_only=True).eval()
    for inputs, expected in golden_of(plan, details, stock, "embedding"):
        found = embedding_of(model, inputs["input_ids"][0].tolist())
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
        assert np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)


def test_pairs_with_labels_are_refused(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.task=embed", documents=scored_pairs(30))
    with pytest.raises(AgreedError, match="found labelled pairs"):
        open_task(plan)


def test_a_lane_s_part_of_a_batch_must_hold_two_pairs(make_tiny_plan: PlanMaker) -> None:
    with pytest.raises(SettingsError, match="expected at least 8"):
        make_tiny_plan("train.task=embed", "train.global_batch=4", shards=False)
    with pytest.raises(SettingsError, match="prefix with task=embed"):
        make_tiny_plan("train.task=embed", "train.method=prefix", shards=False)


@pytest.mark.parametrize(("length", "group_rows"), [(30, 2), (60, 2), (20, 4)])
def test_arithmetic_is_chosen_on_groups_as_they_are(plan: Plan, length: int, group_rows: int) -> None:
    training, _ = prepare(plan)
    task = replace(training.task, group_rows=group_rows)  # type: ignore[type-var]
    precision, speedup = choose_precision(task, training.model, SingleRing(), rows=32, length=length)
    assert precision in ("fp32", "bf16") and speedup > 0
