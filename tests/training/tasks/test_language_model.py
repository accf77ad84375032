"""Language models: exact losses, packed like apart, the same for any number of ranks, published whole."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from mapring import contract
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import fit, metrics, prepare
from tests.training.thread_ring import ThreadRing, run_ranks
from training import preparation
from training import train as trainer
from training.reader import Batch
from training.ring.single import SingleRing
from training.tasks import Task, open_task

BERT = (
    "train.model={architecture: bert, config: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 64, hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}}"
)
GPT2 = (
    "train.model={architecture: gpt2, config: {n_embd: 32, n_layer: 2, n_head: 2, resid_pdrop: 0.0, embd_pdrop: 0.0, "
    "attn_pdrop: 0.0}}"
)
KINDS = [("mlm", BERT), ("clm", GPT2)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def plan(request: pytest.FixtureRequest, make_tiny_plan: PlanMaker) -> Plan:
    task, model = request.param
    return make_tiny_plan(f"train.task={task}", model, "score=null", "train.epochs=2")


def batch_of(rows: list[list[int]], starts: list[list[int]] | None = None, ids: list[str] | None = None) -> Batch:
    return Batch(
        doc_ids=ids or [str(number) for number in range(len(rows))],
        input_ids=[np.array(row, np.int32) for row in rows],
        label_ids=np.zeros(len(rows), np.int64),
        global_rows=len(rows),
        texts=[],
        starts=[np.array(row, np.int32) for row in starts or []],
    )


def loss_of(task: Task, model: torch.nn.Module, batch: Batch) -> tuple[float, float]:
    model.eval()
    with torch.no_grad():
        found = [task.loss(model, piece) for piece in task.pieces(batch, model, 0, 4096)]
    return sum(float(loss) for loss, _ in found), sum(weight for _, weight in found)


def test_a_causal_loss_is_that_of_every_next_token(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan("train.task=clm", GPT2, "score=null"))
    rows = [[2, 7, 8, 9, 3], [2, 6, 3]]
    expected = 0.0
    training.model.eval()
    for row in rows:
        with torch.no_grad():
            logits = training.model(input_ids=torch.tensor([row])).logits[0]
        expected += float(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:]), reduction="sum"))
    found, weight = loss_of(training.task, training.model, batch_of(rows))
    assert weight == 6
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("task", "model"), KINDS)
def test_packed_documents_have_the_loss_that_they_have_apart(
    make_tiny_plan: PlanMaker, task: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, _ = prepare(make_tiny_plan(f"train.task={task}", model, "score=null"))
    first, second = [2, 7, 8, 9, 3], [2, 6, 10, 3]
    if task == "mlm":  # what is hidden depends on the row, which is another one when packed: hide every token 7 and 10
        monkeypatch.setattr(
            type(training.task.masking),  # type: ignore[attr-defined]
            "__call__",
            lambda _self, ids, _row, _epoch: (
                np.where(np.isin(ids, [7, 10]), 4, ids),
                np.flatnonzero(np.isin(ids, [7, 10])),
            ),
        )
    apart = loss_of(training.task, training.model, batch_of([first, second], [[0], [0]]))
    packed = loss_of(training.task, training.model, batch_of([first + second, [2, 3]], [[0, 5], [0]], ["0", "1"]))
    rest = loss_of(training.task, training.model, batch_of([[2, 3]], [[0]], ["1"]))
    assert packed[1] - rest[1] == apart[1]
    assert packed[0] - rest[0] == pytest.approx(apart[0], rel=1e-5)


def test_the_head_is_computed_for_predicted_tokens_alone(plan: Plan) -> None:
    training, _ = prepare(plan)
    batch = next(training.reader.epoch(0))
    computed: list[int] = []
    training.model.get_output_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda _layer, _given, found: computed.append(found[..., 0].numel())
    )
    _, predicted = loss_of(training.task, training.model, batch)
    assert computed == [predicted]


def test_a_language_model_learns_and_is_published_whole(plan: Plan) -> None:
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    losses = [line["loss"] for line in metrics(plan)]
    assert np.mean(losses[-4:]) < 0.9 * losses[0]
    details = contract.read_manifest(plan.model_directory).details
    test = details["evaluation"]["test"]
    assert test["perplexity"] == pytest.approx(math.exp(test["loss"]))
    assert 0 < test["accuracy"] < 1 and test["tokens"] > test["rows"]
    stock = Path(plan.model_directory, details["transformers"])
    auto = AutoModelForMaskedLM if plan.settings.train.task == "mlm" else AutoModelForCausalLM
    model = auto.from_pretrained(stock, local_files_only=True).eval()
    assert AutoTokenizer.from_pretrained(stock, local_files_only=True).vocab_size == model.config.vocab_size
    golden = pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist()
    for row in golden:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, len(row["input_ids"]) // 2]
        np.testing.assert_allclose(logits.numpy(), row["logits"], atol=1e-5)
    assert ("onnx" in details) == (plan.settings.train.task == "mlm")
    if "onnx" in details:
        session = onnxruntime.InferenceSession(Path(plan.model_directory, details["onnx"]).read_bytes())
        ids = np.array([row["input_ids"][:4] for row in golden], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (found,) = session.run(["logits"], {entry.name: inputs[entry.name] for entry in session.get_inputs()})
        with torch.no_grad():
            np.testing.assert_allclose(found, model(input_ids=torch.from_numpy(ids)).logits.numpy(), atol=1e-4)


def test_evaluation_is_bit_for_bit_the_same_on_any_number_of_ranks(plan: Plan) -> None:
    training, _ = prepare(plan)
    alone = training.task.evaluate(training.model, SingleRing(), plan.shards_directory, "test")

    def work(ring: ThreadRing) -> dict:
        torch.set_num_threads(1)
        return training.task.evaluate(training.model, ring, plan.shards_directory, "test")

    for size in (2, 4):
        assert all(found == alone for found in run_ranks(size, work))


def test_two_ranks_take_the_steps_of_one(
    plan: Plan, tmp_path: Path, make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = preparation.build_trainable(plan, open_task(plan), 30)  # threads share random state
    monkeypatch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))
    alone, _ = fit(plan)
    other = make_tiny_plan(*plan.overrides, f"run_dir={tmp_path}/two")

    def work(ring: ThreadRing) -> None:
        torch.set_num_threads(1)
        fit(other, ring)

    run_ranks(2, work)
    assert [line["loss"] for line in metrics(other)] == pytest.approx(
        [line["loss"] for line in metrics(plan)], abs=2e-3
    )
    assert alone.total_steps == len(metrics(plan))


def test_masking_needs_a_mask_token(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.special_tokens import read_special_tokens

    plan = make_tiny_plan("train.task=mlm", BERT, "score=null")
    tokens = read_special_tokens(f"{plan.shards_directory}/tokenizer")
    assert (tokens.pad, tokens.mask) == (0, 4) and {0, 2, 3, 4} <= tokens.all_ids
    monkeypatch.setattr("training.special_tokens._USUAL", {"pad": (), "mask": (), "bos": (), "eos": ()})
    with pytest.raises(Exception, match="without a mask token"):
        open_task(plan)
