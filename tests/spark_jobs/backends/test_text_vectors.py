"""Vectors beside the logits: the same by every exact backend, and by stock transformers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from mapring.contract import read_manifest
from mapring.errors import PublishedError
from mapring.settings.backends import BackendName
from spark_jobs.backends import torch_backend
from spark_jobs.backends.first_token import first_token_only
from spark_jobs.backends.graphs import without_nan_guards
from spark_jobs.backends.inner_block import INNER, inner_block, with_inner_output
from spark_jobs.backends.interface import Ids
from spark_jobs.backends.loading import load_named, own_graph
from spark_jobs.backends.output_layer import READ, output_layer, with_read_output
from spark_jobs.backends.text_vectors import beside
from spark_jobs.backends.torch_backend import TorchBackend
from spark_jobs.predictor import Encoded, Predictor
from tests.spark_jobs.backends.stock_vectors import stock_vectors
from tests.spark_jobs.backends.tiny_run import TinyRun
from training.onnx_export import _exported
from training.tasks.interface import Task


def padded(rows: list[list[int]]) -> tuple[Ids, Ids]:
    width = max(map(len, rows))
    ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row)], mask[line, : len(row)] = row, 1
    return ids, mask


def stock(run: TinyRun, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and vectors of each row alone."""
    directory = Path(run.model, read_manifest(run.model).details["transformers"])
    model = BertForSequenceClassification.from_pretrained(directory).eval()
    given = [{"input_ids": torch.tensor([row])} for row in rows]
    with torch.inference_mode():
        logits = torch.cat([model(**inputs).logits for inputs in given]).numpy()
    return logits, stock_vectors(model, given)


@pytest.mark.parametrize("name", ["torch", "onnx", "openvino", "openvino first token"])
def test_exact_backends_give_the_vectors_behind_the_logits(made_run: TinyRun, tmp_path: Path, name: str) -> None:
    details, rows = read_manifest(made_run.model).details, made_run.validation()[:20]
    graph = None
    if name == "openvino first token":  # as the gate makes the graph of that backend
        model = first_token_only(without_nan_guards(onnx.load(own_graph(Path(made_run.model), details))))
        graph = tmp_path / "graph.onnx"
        graph.write_bytes(model.SerializeToString())
    backend = load_named(name.split()[0], Path(made_run.model), details, graph, 1, "cpu", vectors=True)  # type: ignore[arg-type]
    found = backend.logits(*padded(rows))
    logits, vectors = stock(made_run, rows)
    classes = len(details["labels"])
    np.testing.assert_allclose(found[:, :classes], logits, atol=1e-4)
    np.testing.assert_allclose(found[:, classes:], vectors, atol=1e-4)
    alone = np.concatenate([backend.logits(*padded([row])) for row in rows])
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_a_predictor_takes_logits_and_vectors_apart(made_run: TinyRun) -> None:
    rows = made_run.validation()[:20]
    plain, predictor = Predictor(made_run.model), Predictor(made_run.model, vectors=True)
    outcome, vectors = predictor.outputs_and_vectors(Encoded(rows))
    np.testing.assert_allclose(outcome.logits, plain.outputs(Encoded(rows)).logits, atol=1e-6)
    np.testing.assert_allclose(vectors, stock(made_run, rows)[1], atol=1e-4)
    assert plain.outputs_and_vectors(Encoded(rows))[1].shape == (20, 0)


def test_backends_that_round_are_refused(made_run: TinyRun) -> None:
    details = read_manifest(made_run.model).details
    with pytest.raises(PublishedError, match="found torch-bf16, which rounds vectors"):
        load_named("torch-bf16", Path(made_run.model), details, None, 1, "cpu", vectors=True)


def test_with_as_many_labels_as_units_the_last_layer_is_the_output_layer() -> None:
    config = BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4, num_labels=4
    )
    model = BertForSequenceClassification(config)
    assert output_layer(model) is model.classifier


def test_what_has_no_such_layer_says_so(tmp_path: Path) -> None:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["logits"])], "g", [given], [made])
    with pytest.raises(PublishedError, match="found Relu behind the logits"):
        with_read_output(helper.make_model(graph))
    model = GPT2ForSequenceClassification(GPT2Config(vocab_size=9, n_embd=4, n_layer=1, n_head=1, num_labels=3))
    model.score = torch.nn.Identity()
    with pytest.raises(PublishedError, match="found no linear layer with 3 outputs in a GPT2ForSequenceClassification"):
        output_layer(model)


def test_a_linear_layer_of_two_nodes_is_found() -> None:
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Tanh", ["x"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["p"]),
        helper.make_node("Add", ["b", "p"], ["logits"]),
    ]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [2, 3], [1.0] * 6),
        helper.make_tensor("b", TensorProto.FLOAT, [3], [0.0] * 3),
    ]
    made = [info("x", TensorProto.FLOAT, [None, 2])], [info("logits", TensorProto.FLOAT, [None, 3])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *made, weights), opset_imports=[helper.make_opsetid("", 18)]
    )
    import onnxruntime

    session = onnxruntime.InferenceSession(
        with_read_output(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.array([[0.5, -1.0]], np.float32)
    np.testing.assert_allclose(session.run([READ], {"x": x})[0], np.tanh(x), rtol=1e-5)


SIZES = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}


@pytest.mark.slow  # an export takes 5 s
@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "electra", "modernbert", "deberta-v2"])
def test_graphs_have_the_inner_block_of_torch(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(11)
    config = AutoConfig.for_model(architecture, **SIZES, **IDS, num_hidden_layers=4, initializer_range=0.3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(tmp_path / "transformers")
    (tmp_path / "model.onnx").write_bytes(exported(model))
    details = {"transformers": "transformers", "onnx": "model.onnx"}
    ids, mask = padded([[7, 8, 9, 10, 11], [12, 13], [14, 15, 16]])
    names: tuple[BackendName, ...] = ("torch", "onnx", "openvino")
    first, *others = (
        load_named(name, tmp_path, details, None, 1, "cpu", vectors=True).logits(ids, mask) for name in names
    )
    assert first.shape == (3, 3 + 2 * 16)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)


def exported(model: torch.nn.Module) -> bytes:
    task = SimpleNamespace(output_name="logits", output=lambda model, inputs: model(**inputs).logits)
    return _exported(cast(Task, task), model, ["input_ids", "attention_mask"])


@pytest.mark.parametrize(("blocks", "place"), [(1, None), (2, 0), (3, 1), (4, 2), (6, 3), (7, 4), (12, 8)])
def test_the_inner_block_is_behind_three_quarters(blocks: int, place: int | None) -> None:
    model = BertForSequenceClassification(BertConfig(**SIZES, num_hidden_layers=blocks))
    expected = None if place is None else model.bert.encoder.layer[place]
    assert inner_block(model) is expected


def test_a_model_of_one_block_has_only_what_the_output_layer_reads(tmp_path: Path) -> None:
    config = BertConfig(**SIZES, num_hidden_layers=1)
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    ids, mask = padded([[7, 8, 9], [12, 13]])
    found = TorchBackend(tmp_path, 1, vectors=True).logits(ids, mask)
    with torch.inference_mode():
        pooled = model.bert(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).pooler_output
    np.testing.assert_allclose(found[:, 3:], torch.nn.functional.normalize(pooled, dim=1).numpy(), atol=1e-5)


def graph_of(axes: list[str | int], *, second: bool = False, noted: bool = True) -> onnx.ModelProto:
    """Two blocks, the first of which hands on a tensor of these axes, or two of them."""
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Tanh", ["x"], ["b"])]
    nodes.append(helper.make_node("Add", ["a", "b" if second else "a"], ["logits"]))
    for node, place in zip(nodes, (0, 0, 1), strict=True):
        if noted:
            scopes = str(["", "encoder", f"encoder.layer.{place}"])
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    given = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "T"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["B", "T"]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, axes),
    ]
    made = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, axes)]
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph(nodes, "g", given, made), opset_imports=opsets)


def test_a_graph_gives_what_its_inner_block_hands_on() -> None:
    found = with_inner_output(graph_of(["B", "T", 4]))
    assert [entry.name for entry in found.graph.output] == ["logits", INNER]


@pytest.mark.parametrize(
    "graph",
    [graph_of(["B", "T", 4], noted=False), graph_of(["B", "T", 4], second=True), graph_of(["T", "B", 4])],
    ids=["no blocks noted", "two tensors", "tokens first"],
)
def test_a_graph_without_a_known_inner_block_stays_as_it_is(graph: onnx.ModelProto) -> None:
    before = graph.SerializeToString()
    assert with_inner_output(graph).SerializeToString() == before


def test_hidden_states_with_tokens_first_are_of_no_inner_block(tmp_path: Path) -> None:
    config = XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=32, num_labels=3, pad_token_id=0)
    XLNetForSequenceClassification(config).save_pretrained(tmp_path)
    found = TorchBackend(tmp_path, 1, vectors=True).logits(*padded([[7, 8, 9], [12, 13], [5]]))
    assert found.shape == (3, 3 + 16)


def test_a_model_that_cannot_be_tried_has_only_what_its_output_layer_reads(tmp_path: Path) -> None:
    """BART reads its classes at the last end of a text, which the rows that are tried have not."""
    config = BartConfig(vocab_size=50, d_model=16, encoder_layers=2, decoder_layers=2, num_labels=3, eos_token_id=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32)  # fmt: skip
    BartForSequenceClassification(config).save_pretrained(tmp_path)
    found = TorchBackend(tmp_path, 1, vectors=True).logits(*padded([[7, 8, 2], [12, 2], [2]]))
    assert found.shape == (3, 3 + 16) and np.isfinite(found).all()


def test_both_parts_count_alike() -> None:
    logits, read, inner = np.zeros((2, 1)), np.array([[3.0, 0], [0, 2]]), np.array([[5.0, 0], [4, 0]])
    vectors = beside(*(part.astype(np.float32) for part in (logits, read, inner)))[:, 1:]
    np.testing.assert_allclose(vectors @ vectors.T, [[1, 1 / 2], [1 / 2, 1]], atol=1e-6)


def test_a_decoder_says_that_it_gives_no_vectors(made_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output layer reads every token."""
    real = torch_backend.beside
    monkeypatch.setattr(torch_backend, "beside", lambda logits, read, inner: real(logits, read[:, None], inner))
    with pytest.raises(PublishedError, match=rf"^{made_run.model}: found an output layer .* set score\.mode=classify$"):
        Predictor(made_run.model, vectors=True)
