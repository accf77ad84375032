"""The worst mistakes: those with the largest loss, the same on any number of ranks, with true neighbours and places."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mapring import contract, storage
from mapring.contract.schemas import MISTAKE
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from tests.training.shards import Document
from tests.training.tasks.helpers import scored_pairs
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import made_documents
from training import mistakes
from training import train as trainer
from training.loop import Training
from training.mistakes import NEIGHBOURS, Mistake, WorstMistakes, nearest
from training.reader import ShardReader
from training.reference import reference_distribution
from training.ring.single import SingleRing

BAG = "train.model={architecture: bag_of_words, config: {embedding_size: 8}}"


def worst_of(training: Training, plan: Plan, most: int, temperature: float = 1.0) -> list[Mistake]:
    """Alone, and the same on two ranks."""

    def work(ring: SingleRing | ThreadRing) -> list[Mistake]:
        torch.set_num_threads(1)
        found = WorstMistakes(training.task, temperature, most)
        reference_distribution(training.task, training.model, ring, plan.shards_directory, temperature, found)
        return found.over_ring(ring)

    alone = work(SingleRing())
    assert run_ranks(2, work) == [alone, alone]
    return alone


@pytest.mark.parametrize(("task", "kind"), [("classify", "one"), ("multilabel", "several"), ("regression", "number")])
def test_the_rows_of_the_largest_losses_are_kept(make_tiny_plan: PlanMaker, task: str, kind: str) -> None:
    plan = make_tiny_plan(f"train.task={task}", "score=null", documents=scored_pairs(80), label_kind=kind)
    training, _ = prepare(plan)
    every, few = worst_of(training, plan, 100), worst_of(training, plan, 3)
    assert few == every[:3]
    losses = [mistake.loss for mistake in every]
    assert losses == sorted(losses, reverse=True) and len({mistake.doc_id for mistake in every}) == len(every)
    assert all(mistake.truth != mistake.answer for mistake in every)
    evaluation = training.task.evaluate(training.model, SingleRing(), plan.shards_directory, "test")
    if task == "classify":
        assert len(every) == evaluation["rows"] - round(evaluation["accuracy"] * evaluation["rows"]) > 0
        assert all(mistake.confidence is not None and mistake.confidence >= 0.5 for mistake in every)
        cold = worst_of(training, plan, 100, temperature=0.1)
        assert {one.doc_id for one in cold} == {one.doc_id for one in every} and cold[0].loss > every[0].loss
    if task == "multilabel":
        assert len(every) == evaluation["rows"] - round(evaluation["subset_accuracy"] * evaluation["rows"]) > 0
    if task == "regression":
        assert np.mean(losses) == pytest.approx(evaluation["mae"], rel=1e-5)
    assert worst_of(training, plan, 0) == []


def test_they_are_published_as_places_and_without_texts(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(BAG, "train.epochs=1", "train.worst_mistakes=5", documents=made_documents(200))
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    manifest = contract.read_manifest(plan.model_directory)
    content = storage.read_bytes(storage.join(plan.model_directory, manifest.details["mistakes"]))
    table = pq.read_table(io.BytesIO(content))
    assert table.schema == MISTAKE and 1 <= len(table) <= 5
    rows = table.to_pylist()
    for one in [*rows, *(near for row in rows for near in row["neighbours"])]:
        stored = pq.read_table(f"{plan.shards_directory}/{one['path']}").slice(one["row"], 1).to_pylist()[0]
        assert stored["doc_id"] == one["doc_id"]
        assert stored["text"].encode() not in content
        assert one.get("truth", one.get("label")) == ["bad", "good"][stored["label_id"]]
    train_ids = {doc_id for batch in ShardReader(plan.shards_directory, "train").rows() for doc_id in batch.doc_ids}
    assert all({near["doc_id"] for near in row["neighbours"]} <= train_ids for row in rows)
    assert rows[0]["split"] == "test" and [row["rank"] for row in rows] == list(range(1, len(rows) + 1))


def mistake_of(plan: Plan, text: str) -> Mistake:
    for batch in ShardReader(plan.shards_directory, "test", text=True).rows():
        for doc_id, found in zip(batch.doc_ids, batch.texts, strict=True):
            if found == text:
                return Mistake(doc_id, "good", "bad", 0.9, 2.0)
    raise AssertionError(text)


def test_neighbours_share_words_and_the_nearest_is_first(make_tiny_plan: PlanMaker) -> None:
    documents = made_documents(200)
    plan = make_tiny_plan(documents=documents)
    texts: dict[str, Any] = {}
    for split in ("train", "test"):
        for batch in ShardReader(plan.shards_directory, split, text=True).rows():
            texts.setdefault(split, {}).update(zip(batch.doc_ids, batch.texts, strict=True))
    wrong = [mistake_of(plan, text) for text in list(texts["test"].values())[:4]]
    found = nearest(wrong, "test", "classify", plan.shards_directory, ["bad", "good"])
    by_text = {document.text: document for document in documents}
    for mistake, near in zip(wrong, found, strict=True):
        assert len(near) == NEIGHBOURS
        assert [one.similarity for one in near] == sorted((one.similarity for one in near), reverse=True)
        own = set(texts["test"][mistake.doc_id].split())
        for one in near:
            text = texts["train"][one.doc_id]
            assert own & set(text.split()) and 0 < one.similarity <= 1
            assert one.label == ["bad", "good"][by_text[text].label_id or 0]


def test_texts_without_words_have_no_neighbours(make_tiny_plan: PlanMaker) -> None:
    documents = [Document(f"{'!' * (number + 1)} ?", number % 2) for number in range(60)]
    plan = make_tiny_plan(documents=documents)
    batch = next(iter(ShardReader(plan.shards_directory, "test").rows()))
    wrong = [Mistake(batch.doc_ids[0], "good", "bad", 0.9, 2.0)]
    assert nearest(wrong, "test", "classify", plan.shards_directory, ["bad", "good"]) == [[]]
    stored = pq.read_table(pa.BufferReader(mistakes.to_parquet(wrong, "test", "classify", plan.shards_directory)))
    assert stored.to_pylist()[0]["neighbours"] == []
