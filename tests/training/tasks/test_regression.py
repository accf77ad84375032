"""Numbers: learned in the unit of the targets whatever it is, the same figures on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import fit, prepare
from tests.training.tasks.helpers import assert_evaluated_alike, golden_of, labelled_sentences, loss_of, published
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import BAD, GOOD
from training import targets
from training.methods import finished_model
from training.reader import Batch, ShardReader
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.shard_check import labelled_rows
from training.targets import target_scale
from training.tasks import open_task
from training.tasks.raw_scale import RawScaleLinear, fold_raw_scale, use_raw_scale

GPT2 = (
    "train.model={architecture: gpt2, config: {n_embd: 32, n_layer: 1, n_head: 2, resid_pdrop: 0.0, embd_pdrop: 0.0, "
    "attn_pdrop: 0.0}}"
)
MEAN, UNIT = 5000.0, 30.0


def number_of(words: list[str]) -> float:
    return MEAN + UNIT * (bool(set(words) & set(GOOD)) - bool(set(words) & set(BAD)))


@pytest.fixture
def plan(make_tiny_plan: PlanMaker, base_model_without_dropout: Path) -> Plan:
    return make_tiny_plan(
        "train.task=regression",
        f"train.model={base_model_without_dropout}",
        "train.epochs=8",
        "train.learning_rate=3e-3",
        documents=labelled_sentences("target", number_of),
        labels=[],
        label_kind="number",
    )


def training_targets(plan: Plan) -> np.ndarray:
    found = np.concatenate([batch.targets for batch in ShardReader(plan.shards_directory, "train").rows()])
    return found[~np.isnan(found)]


def test_the_scale_is_that_of_the_training_targets_on_any_number_of_ranks(plan: Plan) -> None:
    alone, expected = target_scale(SingleRing(), plan.shards_directory), training_targets(plan)
    assert alone == (pytest.approx(expected.mean(), rel=1e-6), pytest.approx(expected.std(), rel=1e-4), len(expected))
    for size in (2, 4):
        assert all(found == alone for found in run_ranks(size, lambda ring: target_scale(ring, plan.shards_directory)))


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20), cut=st.integers(0, 20))
def test_any_numbers_have_one_scale(values: list[float], cut: int) -> None:
    column = np.array(values)
    parts = [column[:cut], column[cut:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_targets", lambda ring, _: iter([parts[ring.rank]] if ring.size == 2 else [column]))
        alone = target_scale(SingleRing(), "")

        def work(ring: ThreadRing) -> targets.TargetScale:
            return target_scale(ring, "")

        assert run_ranks(2, work) == [alone, alone]
    largest = np.abs(column).max()
    assert alone.mean == pytest.approx(column.mean(), abs=1e-8 * largest)
    assert alone.deviation > 0
    assert alone.deviation == 1 or alone.deviation == pytest.approx(column.std(), rel=1e-3, abs=1e-4 * largest)


def test_the_loss_is_the_squared_error_over_the_variance(plan: Plan) -> None:
    training, _ = prepare(plan)
    rows, wanted = [[2, 7, 8, 9, 3], [2, 6, 3], [2, 5, 3]], np.array([5010.0, 4970.0, np.nan])
    batch = Batch(
        doc_ids=["a", "b", "c"],
        input_ids=[np.array(row, np.int32) for row in rows],
        label_ids=np.full(3, -100),
        global_rows=3,
        texts=[],
        targets=wanted,
    )
    training.model.eval()
    with torch.no_grad():
        given = [float(training.model(input_ids=torch.tensor([row])).logits) for row in rows]
    deviation = training_targets(plan).std()
    assert all(abs(value - MEAN) < 3 * UNIT for value in given)  # before any step, in the unit of the targets
    found, weight = loss_of(training.task, training.model, batch)
    assert weight == 2
    expected = sum(((value - target) / deviation) ** 2 for value, target in zip(given, wanted[:2], strict=False))
    assert found == pytest.approx(expected, rel=1e-3)


def test_evaluation_is_bit_for_bit_the_same_on_any_number_of_ranks(plan: Plan) -> None:
    found = assert_evaluated_alike(prepare(plan)[0], plan)
    assert found["rows"] + found["unlabelled"] == ShardReader(plan.shards_directory, "test").rows_in_split
    assert labelled_rows(SingleRing(), plan.shards_directory, "test") == found["rows"]
    assert found["loss"] == pytest.approx(found["mse"] / training_targets(plan).std() ** 2, rel=1e-3)


def test_numbers_are_learned_and_published_in_their_own_unit(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    details, stock = published(plan)
    test = details["evaluation"]["test"]
    assert test["r2"] > 0.8 and test["spearman"] > 0.8 and test["mae"] < 0.4 * UNIT
    assert "R2" in capfd.readouterr().err and details["evaluation"]["baselines"].keys() == {"mean", "tfidf_ridge"}
    model = AutoModelForSequenceClassification.from_pretrained(stock, local_files_only=True).eval()
    assert (model.config.problem_type, model.config.num_labels) == ("regression", 1)
    for inputs, expected in golden_of(plan, details, stock, "logits"):
        assert abs(expected[0] - MEAN) < 2 * UNIT
        with torch.no_grad():
            np.testing.assert_allclose(model(**inputs).logits[0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["lora", "prefix", "adapter"])
def test_methods_give_numbers_in_that_unit(make_tiny_plan: PlanMaker, method: str) -> None:
    plan = make_tiny_plan(
        "train.task=regression",
        f"train.method={method}",
        documents=labelled_sentences("target", number_of),
        labels=[],
        label_kind="number",
    )
    training, _ = fit(plan)
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 10, 12, 3]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    training.model.eval()
    with torch.no_grad():
        before = training.task.output(training.model, inputs)
        finished = finished_model(training.model)
        training.task.finish(finished)
        after = training.task.output(finished, inputs)
    assert not any(isinstance(layer, RawScaleLinear) for layer in finished.modules())
    assert ((before - MEAN).abs() < 3 * UNIT).all()
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-2)


def test_a_layer_without_bias_is_scaled_by_the_size_of_the_targets(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(
        "train.task=regression", GPT2, documents=labelled_sentences("target", number_of), labels=[], label_kind="number"
    )
    training, _ = prepare(plan)
    ids = torch.tensor([[2, 7, 8, 3]])
    layer = training.model.score
    assert (layer.bias, layer.shift) == (None, 0.0)
    assert layer.scale == pytest.approx(np.sqrt((training_targets(plan) ** 2).mean()), rel=1e-4)
    training.model.eval()
    with torch.no_grad():
        before = training.model(input_ids=ids).logits
        training.task.finish(training.model)
        assert type(training.model.score) is torch.nn.Linear
        torch.testing.assert_close(training.model(input_ids=ids).logits, before)


def test_folding_leaves_outputs_as_they_are() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
    inputs = torch.randn(5, 4)
    plain = model(inputs)
    use_raw_scale(model, targets.TargetScale(100.0, 7.0, 9))
    scaled = model(inputs)
    torch.testing.assert_close(scaled, plain * 7 + 100)
    fold_raw_scale(model)
    torch.testing.assert_close(model(inputs), scaled)
    assert [type(layer) for layer in model] == [torch.nn.Linear] * 2


def test_shards_without_numbers_are_refused(make_tiny_plan: PlanMaker) -> None:
    unlabelled = [document._replace(target=None) for document in labelled_sentences("target", number_of, 20)]
    plan = make_tiny_plan("train.task=regression", documents=unlabelled, labels=[], label_kind="number")
    with pytest.raises(AgreedError, match="no training row with a number"):
        open_task(plan)
