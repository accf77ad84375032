"""Graphs that compute the first token only where nothing else is read: the same numbers, for less work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mapring.contract import read_manifest
from spark_jobs.backends.first_token import first_token_only
from spark_jobs.backends.graphs import without_nan_guards
from spark_jobs.backends.loading import own_graph
from tests.spark_jobs.backends.tiny_run import TinyRun

RNG = np.random.default_rng(3)
X = RNG.normal(size=(9, 5, 8)).astype(np.float32)


def graph(index: int = 0, *, also_read: bool = False) -> onnx.ModelProto:
    """A token-mixing product, two dense layers with a residual, then the token of an index."""
    constants = {
        "mixing": RNG.normal(size=(5, 5)),
        "wide": RNG.normal(size=(8, 16)),
        "narrow": RNG.normal(size=(16, 8)),
        "weight": np.ones(8),
        "bias": np.zeros(8),
    }
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.array(index, np.int64), "index"))
    nodes = [
        helper.make_node("MatMul", ["mixing", "x"], ["mixed"]),
        helper.make_node("MatMul", ["mixed", "wide"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("MatMul", ["active", "narrow"], ["outer"]),
        helper.make_node("Add", ["outer", "mixed"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "weight", "bias"], ["normal"], axis=-1),
        helper.make_node("Gather", ["normal", "index"], ["y"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 5, 8])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 8])]
    if also_read:
        outputs.append(helper.make_tensor_value_info("active", TensorProto.FLOAT, ["B", 5, 16]))
    made = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, names: tuple[str, ...] = ("y",), values: np.ndarray = X) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(names), {"x": values})


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def sliced(model: onnx.ModelProto) -> list[str]:
    return [node.input[0] for node in model.graph.node if node.op_type == "Slice"]


def test_all_tokens_are_mixed_into_one_that_goes_through_the_dense_layers() -> None:
    before = graph()
    after = first_token_only(copy_of(before))
    assert sliced(after) == ["mixing"]
    for rows in range(1, 10):
        assert np.allclose(run(after, values=X[:rows])[0], run(before, values=X[:rows])[0], atol=1e-6)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 5), (3, 3), (4, 2), (7, 2), (8, 1), (9, 1)])
def test_products_have_eight_rows_where_there_are_so_many(rows: int, tokens: int) -> None:
    model = first_token_only(graph())
    model.graph.output.append(helper.make_tensor_value_info("mixed", TensorProto.FLOAT, ["B", "T", 8]))
    assert run(model, ("mixed",), X[:rows])[0].shape == (rows, tokens, 8)


def test_what_an_output_reads_is_computed_for_all_tokens() -> None:
    before = graph(also_read=True)
    after = first_token_only(copy_of(before))
    assert sorted(sliced(after)) == ["active", "mixed"]
    for found, expected in zip(run(after, ("y", "active")), run(before, ("y", "active")), strict=True):
        assert np.allclose(found, expected, atol=1e-6)


def test_another_token_than_the_first_leaves_the_graph_as_it_is() -> None:
    before = graph(index=2)
    assert first_token_only(copy_of(before)) == before


@pytest.mark.filterwarnings("ignore")
def test_a_published_model_gives_the_logits_that_it_gave(made_run: TinyRun) -> None:
    path = own_graph(Path(made_run.model), read_manifest(made_run.model).details)
    before = without_nan_guards(onnx.load(path))
    after = first_token_only(copy_of(before))
    assert len(sliced(after)) == len(sliced(before)) + 2, "the last block's input, and the mask of its attention"
    rows = [row[:6] for row in made_run.validation() if len(row) >= 6]
    ids = np.array(rows, np.int64)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    found = []
    for model in (before, after):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        wanted = {entry.name for entry in session.get_inputs()}
        found.append(session.run(["logits"], {name: value for name, value in given.items() if name in wanted})[0])
    assert np.allclose(found[0], found[1], atol=1e-4)
