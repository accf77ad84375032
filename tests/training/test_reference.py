"""What is published of a model's answers: every row once, the same on any number of ranks, for every task."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mapring import contract
from mapring.plan import Plan
from mapring.watch.bins import counted, length_bins, unknown_bins
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from tests.training.shards import Document
from tests.training.tasks.helpers import scored_pairs
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import made_documents
from training import train as trainer
from training.loop import Training
from training.reader import ShardReader
from training.reference import _counts, _of_numbers, reference_distribution
from training.reference_inputs import _languages
from training.ring.single import SingleRing

BAG = "train.model={architecture: bag_of_words, config: {embedding_size: 8}}"
LSTM = "train.model={architecture: lstm, config: {embedding_size: 8, hidden_size: 8}}"
CASES = [
    ("classify", "one", "top_score"),
    ("multilabel", "several", None),
    ("regression", "number", "prediction"),
    ("embed", "one", "similarity"),
    ("clm", "one", "loss"),
]


def reference_of(training: Training, plan: Plan) -> dict[str, Any]:
    """Alone, and the same on two ranks."""

    def work(ring: SingleRing | ThreadRing) -> dict[str, Any] | None:
        torch.set_num_threads(1)
        return reference_distribution(training.task, training.model, ring, plan.shards_directory)

    alone = work(SingleRing())
    assert alone is not None and run_ranks(2, work) == [alone, alone]
    return alone


def training_of(make_tiny_plan: PlanMaker, task: str, kind: str) -> tuple[Training, Plan]:
    """One that has not begun, on pairs of texts."""
    documents = scored_pairs(80)
    if task == "embed":
        documents = [item._replace(label_id=None) for item in documents]
    words = [f"train.task={task}", "score=null", *([LSTM] if task == "clm" else [])]
    labels = {"labels": []} if task == "embed" else {}
    plan = make_tiny_plan(*words, documents=documents, label_kind=kind, **labels)
    return prepare(plan)[0], plan


@pytest.mark.parametrize(("task", "kind", "histogram"), CASES, ids=[case[0] for case in CASES])
def test_every_row_counts_once(make_tiny_plan: PlanMaker, task: str, kind: str, histogram: str | None) -> None:
    training, plan = training_of(make_tiny_plan, task, kind)
    found = reference_of(training, plan)
    rows = ShardReader(plan.shards_directory, "test").rows_in_split
    assert (found["split"], found["rows"]) == ("test", rows)
    if histogram is not None:
        assert sum(found[histogram]["counts"]) == rows
        assert len(found[histogram]["edges"]) == len(found[histogram]["counts"]) + 1
    if task == "embed":
        assert found["inputs"] == {"tokens": None, "unknown_share": None, "languages": None}, "it scores single texts"
    else:
        assert sum(found["inputs"]["tokens"].values()) == sum(found["inputs"]["unknown_share"].values()) == rows
    for label in found.get("labels", {}).values():
        assert sum(label["probability"]["counts"]) == rows
    if task == "classify":
        assert sum(label["answers"] for label in found["labels"].values()) == rows
        assert sum(found["top_score"]["counts"][:10]) == 0  # the larger of two probabilities
    if task == "multilabel":  # above 0.5; none is 0.5 itself
        assert all(sum(own["probability"]["counts"][10:]) == own["answers"] for own in found["labels"].values())


@pytest.mark.parametrize(("task", "kind"), [case[:2] for case in CASES], ids=[case[0] for case in CASES])
def test_what_an_evaluation_told_of_is_not_computed_again(make_tiny_plan: PlanMaker, task: str, kind: str) -> None:
    training, plan = training_of(make_tiny_plan, task, kind)
    where = (training.task, training.model, SingleRing(), plan.shards_directory)
    told: list[torch.Tensor] = []
    training.task.evaluate(*where[1:], "test", 1.0, told.append)
    assert bool(told) == (task != "clm"), "a language model's evaluation tells of nothing"
    found = reference_distribution(*where)
    assert reference_distribution(*where, outputs=told) == found
    if told:
        assert reference_distribution(*where, outputs=[torch.full_like(output, 0.5) for output in told]) != found


def test_the_bins_of_values() -> None:
    edges = np.array([0.0, 0.5, 1.0])
    assert _counts(np.array([-1.0, 0.0, 0.49, 0.5, 1.0, 7.0]), edges).tolist() == [3, 3]
    found = _of_numbers(SingleRing(), np.arange(20.0))
    assert found["prediction"] == {
        "edges": [0.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0],
        "counts": [1, 2, 2, 2, 2, 2, 2, 2, 2, 3],
    }
    assert _of_numbers(SingleRing(), np.ones(3))["prediction"] == {"edges": [1.0, 1.0], "counts": [3]}


@pytest.mark.parametrize(("validation", "split"), [(8, "validation"), (0, None)])
def test_the_validation_split_stands_in_and_nothing_is_null(
    make_tiny_plan: PlanMaker, validation: int, split: str | None
) -> None:
    documents = made_documents(40)
    splits = {"train": documents[validation:], "validation": documents[:validation], "test": []}
    plan = make_tiny_plan(BAG, documents=splits)
    training, _ = prepare(plan)
    found = reference_distribution(training.task, training.model, SingleRing(), plan.shards_directory)
    assert (found and found["split"]) == split


def test_it_is_published_with_the_model(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(LSTM, "train.baselines=false")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    found = json.loads(Path(plan.model_directory, details["reference"]).read_text())
    test = details["evaluation"]["test"]
    assert found["rows"] == test["rows"] + test["unlabelled"]
    answers = np.array(test["confusion"]).sum(0).tolist()
    assert [label["answers"] for label in found["labels"].values()] == answers
    assert found["temperature"] == details["temperature"] and found["is_packed"] is False


def test_scores_are_kept_at_the_temperature_that_scoring_divides_by(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(BAG, documents=made_documents(60))
    training, _ = prepare(plan)
    tops = []
    for temperature in (1.0, 100.0):
        found = reference_distribution(
            training.task, training.model, SingleRing(), plan.shards_directory, temperature=temperature
        )
        assert found is not None and found["temperature"] == temperature
        tops.append(found["top_score"]["counts"])
    classes = len(training.task.labels)
    assert tops[0] != tops[1] and sum(tops[1][: int(20 / classes) + 1]) == sum(tops[1]), "all are nearly as probable"


def test_inputs_are_counted_as_scored_rows_are(make_tiny_plan: PlanMaker) -> None:
    documents = [Document(f"{item.text} \u2603", item.label_id) for item in made_documents(40)]
    plan = make_tiny_plan(BAG, documents=documents)
    training, _ = prepare(plan)
    found = reference_of(training, plan)["inputs"]
    rows = [row.tolist() for batch in ShardReader(plan.shards_directory, "test").rows() for row in batch.input_ids]
    lengths = np.array([len(row) for row in rows])
    assert found["tokens"] == counted(length_bins(lengths))
    assert found["unknown_share"] == counted(unknown_bins(np.ones(len(rows)), lengths)), (
        "the snowman is in no vocabulary"
    )
    assert "0" not in found["unknown_share"] and found["languages"] is None


def test_languages_are_those_that_preprocessing_measured(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tiny_plan(BAG, documents=made_documents(40))
    ids = [name for batch in ShardReader(plan.shards_directory, "test").rows() for name in batch.doc_ids]
    measured = pa.table({"doc_id": [*ids, "f" * 32], "language": ["de", None, *["en"] * (len(ids) - 2), "fr"]})
    path = tmp_path / "measures" / "measures.parquet"
    path.parent.mkdir()
    pq.write_table(measured, path)
    manifest = contract.read_manifest(plan.shards_directory)
    entry = contract.FileEntry(path="measures/measures.parquet", rows=1, bytes=1, sha256="")
    there = replace(manifest, files=(entry,), details={**manifest.details, "measures": {"names": ["language_score"]}})
    languages = Counter[str]()
    for some in _languages(str(tmp_path), there, ids):
        languages.update(some.to_pylist())
    assert languages == {"de": 1, "en": len(ids) - 2}, "of the rows of the split, and of those that have one"
    assert list(_languages(str(tmp_path), manifest, ids)) == []
