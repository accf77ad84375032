"""Models as the trainer publishes them, scored: the figures of their evaluation come out of single rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mapring import contract
from mapring.plan import Plan
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from tests.training.conftest import PlanMaker
from tests.training.shards import Document
from tests.training.tasks.helpers import labelled_sentences, scored_pairs
from training import train as trainer
from training.reader import ShardReader

LSTM = "train.model={architecture: lstm, config: {embedding_size: 16, hidden_size: 24}}"
LLAMA = (
    "train.model={architecture: llama, config: {hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, "
    "num_attention_heads: 2}}"
)

pytestmark = pytest.mark.slow  # a training and its export take seconds


def published(plan: Plan) -> tuple[Predictor, dict[str, Any]]:
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    return Predictor(plan.model_directory), contract.read_manifest(plan.model_directory).details["evaluation"]["test"]


def rows_of(plan: Plan) -> Any:
    """Texts of the test split and their targets."""
    batches = list(ShardReader(plan.shards_directory, "test", text=True).rows())
    return [text for batch in batches for text in batch.texts], np.concatenate([batch.targets for batch in batches])


@pytest.mark.parametrize("model", [LLAMA, LSTM])
def test_perplexities_of_rows_make_that_of_the_split(make_tiny_plan: PlanMaker, model: str) -> None:
    plan = make_tiny_plan("train.task=clm", model)
    predictor, evaluation = published(plan)
    texts, _ = rows_of(plan)
    found, _ = predict_columns(predictor, texts, Answers())
    tokens = np.array(found["tokens"])
    assert tokens.sum() == evaluation["tokens"]
    mean = float((np.log(found["perplexity"]) * tokens).sum() / tokens.sum())
    assert math.exp(mean) == pytest.approx(evaluation["perplexity"], rel=1e-4)


def test_numbers_of_pairs_have_the_error_of_the_evaluation(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.task=regression", documents=scored_pairs(200), label_kind="number")
    predictor, evaluation = published(plan)
    assert predictor.is_pair
    texts, targets = rows_of(plan)
    found, _ = predict_columns(predictor, texts, Answers())
    errors = np.array(found["value"]) - targets
    assert np.abs(errors).mean() == pytest.approx(evaluation["mae"], abs=1e-4)


@pytest.mark.parametrize("method", ["full", "adapter"])
def test_vectors_come_from_the_directory_or_the_graph(make_tiny_plan: PlanMaker, method: str) -> None:
    pairs = [Document(pair.text, second_text=pair.second_text) for pair in scored_pairs(200)]
    plan = make_tiny_plan("train.task=embed", f"train.method={method}", documents=pairs, labels=[])
    predictor, _ = published(plan)
    assert not predictor.is_pair and (predictor.published.details["transformers"] is None) == (method == "adapter")
    golden = pq.read_table(Path(plan.model_directory, predictor.published.details["golden"])).to_pydict()
    found, _ = predict_columns(predictor, golden["text"], Answers())
    np.testing.assert_allclose(np.array(found["embedding"]), np.array(golden["embedding"]), atol=1e-4)


def test_several_labels_are_those_of_the_evaluation(make_tiny_plan: PlanMaker) -> None:
    documents: list[Document] = labelled_sentences("label_ids", lambda words: [0] if "day" in words else [])
    plan = make_tiny_plan("train.task=multilabel", documents=documents, label_kind="several", labels=["day", "other"])
    predictor, evaluation = published(plan)
    batches = list(ShardReader(plan.shards_directory, "test", text=True).rows())
    found, _ = predict_columns(predictor, [text for batch in batches for text in batch.texts], Answers())
    given = [{entry["label"] for entry in labels} for labels in found["labels"]]
    true = [{["day", "other"][label] for label in labels} for batch in batches for labels in batch.label_sets]
    labelled = np.concatenate([batch.is_labelled for batch in batches])
    exact = [one == other for one, other, counts in zip(given, true, labelled, strict=True) if counts]
    assert np.mean(exact) == pytest.approx(evaluation["subset_accuracy"])
