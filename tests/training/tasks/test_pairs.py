"""Pairs as cross-encoders read them: token types, figures of relevance, golden rows of both texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from transformers import AutoModelForSequenceClassification

from mapring.errors import SettingsError
from mapring.text import Encoder
from tests.training.conftest import PlanMaker
from tests.training.running import fit, prepare
from tests.training.shards import tiny_model
from tests.training.tasks.helpers import assert_evaluated_alike, golden_of, published, scored_pairs
from tests.training.tiny_plan import WORDS
from training.reader import ShardReader
from training.tasks.pairs import read_pair_form

ENDS = "score=null"


def test_token_types_are_1_from_the_second_text_on(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan(ENDS, documents=scored_pairs(60)))
    batch = next(training.reader.epoch(0))
    for piece in training.task.pieces(batch, training.model, 0, 256):
        for row, types, mask in zip(
            piece.rows, piece.inputs["token_type_ids"], piece.inputs["attention_mask"], strict=True
        ):
            length, start = len(batch.input_ids[row]), int(batch.second_starts[row])
            assert types.tolist() == [0] * start + [1] * (length - start) + [0] * (len(mask) - length)
    training.model.config.type_vocab_size = 1
    (piece,) = training.task.pieces(batch, training.model, 0, 4096)
    assert "token_type_ids" not in piece.inputs


def test_relevance_is_ranked_the_same_on_any_number_of_ranks(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(ENDS, "train.epochs=2", documents=scored_pairs(300))
    training, _ = fit(plan)
    found = assert_evaluated_alike(training, plan)
    scores, labels = [], []
    for batch in ShardReader(plan.shards_directory, "test").rows():
        with torch.inference_mode():
            for piece in training.task.pieces(batch, training.model, 0, 2048):
                logits = training.model(**piece.inputs).logits
                scores += (logits[:, 1] - logits[:, 0]).tolist()
                labels += piece.targets["labels"].tolist()
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["average_precision"] == pytest.approx(average_precision_score(labels, scores))


@pytest.mark.slow  # an export takes seconds
def test_a_cross_encoder_is_published_with_its_pairs(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(ENDS, documents=scored_pairs(200))
    details, stock = published(plan)
    assert {"roc_auc", "average_precision"} <= details["evaluation"]["test"].keys()
    model = AutoModelForSequenceClassification.from_pretrained(stock, local_files_only=True).eval()
    for inputs, expected in golden_of(plan, details, stock, "logits"):
        assert inputs["token_type_ids"].any()
        with torch.no_grad():
            np.testing.assert_allclose(model(**inputs).logits[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("task", "kind"), [("multilabel", "several"), ("regression", "number")])
def test_other_tasks_read_pairs_alike(make_tiny_plan: PlanMaker, task: str, kind: str) -> None:
    plan = make_tiny_plan(f"train.task={task}", documents=scored_pairs(60), label_kind=kind)
    training, _ = fit(plan)
    batch = next(training.reader.epoch(0))
    assert all("token_type_ids" in piece.inputs for piece in training.task.pieces(batch, training.model, 0, 256))


@pytest.mark.parametrize("second", ["good day", "bad", ""])
def test_the_texts_of_a_pair_are_taken_apart(tmp_path, second: str) -> None:
    directory = tiny_model(tmp_path / "model", WORDS)
    form, encoder = read_pair_form(str(directory)), Encoder(directory, 64)
    encoded = encoder.encode_pairs([("the very fine film", second)])
    found = form.apart(np.array(encoded.ids[0], np.int32), encoded.second_starts[0])
    assert [ids.tolist() for ids in found] == encoder.encode(["the very fine film", second])


def test_single_texts_are_not_scored_by_a_model_of_pairs(make_tiny_plan: PlanMaker, tmp_path) -> None:
    source = f"preprocess.inputs=[{{name: a, path: {tmp_path}/a.csv, format: csv, second_text_column: b}}]"
    with pytest.raises(SettingsError, match=r"score.inputs.0.second_text_column: found 'none' .* on pairs of texts"):
        make_tiny_plan(source, shards=False)
