"""The LSTM that predicts the next token: documents apart, learning, resuming, publishing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from mapring import contract
from mapring.errors import SettingsError
from mapring.settings.combinations import refusal
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, metrics, moments, prepare, weights
from tests.training.tasks.test_language_model import batch_of, loss_of
from training import train as trainer
from training.loop import StoppedError
from training.lstm_language_model import LstmLanguageModel, time_major
from training.own_architectures import new_model
from training.reader import ShardReader
from training.tasks.documents import document_numbers, restarting_positions

SIZES = "{embedding_size: 16, hidden_size: 24, dropout: 0.1}"
LSTM = ("train.task=clm", f"train.model={{architecture: lstm, config: {SIZES}}}", "score=null")
TIED_AND_NOT = pytest.mark.parametrize("tied", [True, False])


def made_model(tied: bool = True, layers: int = 2) -> torch.nn.Module:
    torch.manual_seed(1)
    sizes = {"embedding_size": 6, "hidden_size": 8, "num_layers": layers, "tie_embeddings": tied}
    return new_model("lstm", sizes, vocabulary_size=20, labels=0, pad=0, task="clm").eval()


def test_all_documents_are_stepped_through_at_once_longest_first() -> None:
    order, at_once = time_major(torch.tensor([0, 1, 0, 0, 1, 2]))  # documents of 2, 1 and 3 tokens
    assert order.tolist() == [3, 0, 2, 4, 1, 5]
    assert at_once.tolist() == [3, 2, 1]


@TIED_AND_NOT
def test_documents_of_a_packed_row_do_not_see_each_other(tied: bool) -> None:
    model = made_model(tied)
    documents = [[5, 6, 7, 8, 9], [5, 6], [7], [11, 12, 13]]
    ids = torch.tensor([[*documents[0], *documents[1]], [*documents[2], *documents[3], 0, 0, 0]])
    mask = (ids != 0).long()
    starts = [np.array([0, 5], np.int32), np.array([0, 1], np.int32)]
    positions = torch.from_numpy(restarting_positions(document_numbers(starts, mask.sum(1).numpy(), 7)))
    with torch.no_grad():
        found = model(ids, mask, positions).logits[mask.bool()]
        alone = [model(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.int64)).logits[0] for row in documents]
        running_on = model(ids, mask).logits[mask.bool()]
    torch.testing.assert_close(found, torch.cat(alone))
    assert not torch.allclose(running_on, found)


def test_no_token_sees_a_later_one_or_padding() -> None:
    model, whole = made_model(), torch.tensor([[5, 6, 7, 8]])
    cut = torch.tensor([[5, 6, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(
            model(cut, (cut != 0).long()).logits[0, :2], model(whole, torch.ones_like(whole)).logits[0, :2]
        )


def test_packed_rows_have_the_loss_of_their_documents(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan(*LSTM))
    first, second = [2, 7, 8, 9, 3], [2, 6, 10, 3]
    apart = loss_of(training.task, training.model, batch_of([first, second]))
    computed: list[torch.Size] = []
    training.model.lm_head.register_forward_hook(  # type: ignore[union-attr]
        lambda _head, _given, found: computed.append(found.shape[:-1])
    )
    packed = loss_of(training.task, training.model, batch_of([first + second], [[0, 5]]))
    assert computed == [(1, 7)]  # logits only where a token is predicted
    assert packed[1] == apart[1] == 7
    assert packed[0] == pytest.approx(apart[0], rel=1e-5)


def test_it_predicts_better_than_frequencies_and_is_published_with_a_graph(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(*LSTM, "train.epochs=8", "train.learning_rate=0.02", "train.checkpoint_every_steps=1000")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    rows = [ids for batch in ShardReader(plan.shards_directory, "test").rows() for ids in batch.input_ids]
    counts = np.unique(np.concatenate([ids[1:] for ids in rows]), return_counts=True)[1]
    shares = counts / counts.sum()
    assert details["evaluation"]["test"]["loss"] < -(shares * np.log(shares)).sum()
    losses = [line["loss"] for line in metrics(plan)]
    assert losses[-1] < losses[0]

    folder = Path(plan.model_directory, details["tokenizer"])
    config = json.loads((folder / "config.json").read_text())
    assert (config["architecture"], config["task"], config["hidden_size"]) == ("lstm", "clm", 24)
    tensors = load_file(folder / "model.safetensors")
    model = new_model(
        "lstm",
        {key: config[key] for key in ("embedding_size", "hidden_size", "num_layers", "dropout", "tie_embeddings")},
        vocabulary_size=config["vocab_size"],
        labels=0,
        pad=config["pad_token_id"],
        task="clm",
    ).eval()
    assert model.load_state_dict(tensors, strict=False).missing_keys == ["lm_head.1.weight"]  # the embeddings, tied
    golden = pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist()
    session = onnxruntime.InferenceSession(Path(plan.model_directory, details["onnx"]).read_bytes())
    for row in golden:
        ids = torch.tensor([row["input_ids"]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            logits = model(**inputs).logits[0, ids.shape[1] // 2].numpy()
        np.testing.assert_allclose(logits, row["logits"], atol=1e-5)
        (answer,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
        np.testing.assert_allclose(answer[0, ids.shape[1] // 2], row["logits"], atol=1e-4)


@TIED_AND_NOT
def test_its_graph_gives_what_it_gives_also_of_padded_rows(tied: bool) -> None:
    from training.lstm_graph import lstm_graph

    model = made_model(tied)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    session = onnxruntime.InferenceSession(lstm_graph(model, 18))
    (found,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        np.testing.assert_allclose(found, model(**inputs).logits.numpy(), atol=1e-5)


def test_a_training_that_was_stopped_ends_with_the_same_bits(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    peace, _ = fit(make_tiny_plan(*LSTM))
    other = make_tiny_plan(*LSTM, f"run_dir={tmp_path}/other")
    with pytest.raises(StoppedError):
        fit(other, stop=NoStop(after_step=5))
    again, _ = fit(other)
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(peace).items())
    assert all(torch.equal(*both) for both in zip(moments(peace), moments(again), strict=True))


def test_bf16_is_near_fp32() -> None:
    model, ids = made_model(), torch.tensor([[5, 6, 7, 8]])
    assert isinstance(model, LstmLanguageModel)
    with torch.no_grad():
        exact = model(ids, torch.ones_like(ids)).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(ids, torch.ones_like(ids)).logits
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.05)


def test_what_goes_together_is_known(make_tiny_plan: PlanMaker) -> None:
    assert refusal("clm", "lstm", "full") is None
    assert refusal("clm", "bag_of_words", "full") is not None
    with pytest.raises(SettingsError, match="found lstm with task=mlm, expected classify or clm"):
        make_tiny_plan("train.task=mlm", "train.model={architecture: lstm}", "score=null")
    with pytest.raises(SettingsError, match="found lora with random weights"):
        make_tiny_plan(*LSTM, "train.method=lora")
    with pytest.raises(SettingsError, match="found 'heads', expected for lstm one of embedding_size, dropout"):
        prepare(make_tiny_plan(*LSTM, "train.model.config.heads=2"))
