"""Rounded weights and inputs: exact bounds, and products that stay near those of float."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from spark_jobs.backends.graphs import (
    Channels,
    dense_inputs,
    int8_columns,
    with_int8_weights,
    with_static_scales,
    without_nan_guards,
)

RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=(16, 8)).astype(np.float32)
VALUES = (RNG.normal(size=(50, 16)) * np.array([30.0, *[0.5] * 15])).astype(np.float32)  # one channel stands out


def product_graph() -> onnx.ModelProto:
    """y = guarded(x) @ weights, with the guard that exporters put behind softmax."""
    constants = [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(np.float32(0), "zero")]
    nodes = [
        helper.make_node("IsNaN", ["x"], ["is_nan"]),
        helper.make_node("Where", ["is_nan", "zero", "x"], ["guarded"]),
        helper.make_node("MatMul", ["guarded", "weights"], ["y"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])] for name, width in (("x", 16), ("y", 8))
    )
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": values})[0]


@given(st.integers(1, 20), st.integers(1, 20), st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_weights_are_within_half_a_step(rows: int, columns: int, size: float, seed: int) -> None:
    weights = (np.random.default_rng(seed).normal(size=(rows, columns)) * size).astype(np.float32)
    values, scales = int8_columns(weights)
    assert values.min() >= -127
    assert (np.abs(values * scales - weights) <= scales * 0.5001).all()


def test_columns_of_zeros_stay_zeros() -> None:
    values, scales = int8_columns(np.zeros((3, 2), np.float32))
    assert not values.any() and (scales > 0).all()


def test_guards_go_and_nothing_changes() -> None:
    model = without_nan_guards(product_graph())
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [entry.name for entry in model.graph.initializer] == ["weights"], "constants that nobody uses go, too"
    assert dense_inputs(model) == ["x"]
    assert np.array_equal(run(model, VALUES), VALUES @ WEIGHTS) or np.allclose(run(model, VALUES), VALUES @ WEIGHTS)


def test_static_scales_round_every_row_alone_and_survive_a_channel_that_stands_out() -> None:
    channels = {"x": Channels(VALUES.min(axis=0), VALUES.max(axis=0))}
    model = with_int8_weights(with_static_scales(without_nan_guards(product_graph()), channels))
    assert sum(entry.data_type == TensorProto.INT8 for entry in model.graph.initializer) == 1
    found, expected = run(model, VALUES), VALUES @ WEIGHTS
    plain_step = (VALUES.max() - VALUES.min()) / 255
    unsmoothed = np.rint(VALUES / plain_step) * plain_step @ WEIGHTS
    assert np.abs(found - expected).mean() < np.abs(unsmoothed - expected).mean() / 2
    for row in (0, 7, 49):
        assert np.array_equal(run(model, VALUES[row : row + 1])[0], found[row])
    outside = VALUES.copy()
    outside[0] *= 1000
    assert np.array_equal(run(model, outside)[1:], found[1:]), "a row beside them changes no other"


def test_the_output_layer_of_a_decoder_keeps_its_precision() -> None:
    """It has no bias, and the last token is taken behind it."""
    model = product_graph()
    model.graph.node[-1].output[0] = "inner"
    head = numpy_helper.from_array(np.ones((8, 3), np.float32), "head")
    model.graph.initializer.extend([head, numpy_helper.from_array(np.array([0]), "last")])
    model.graph.node.append(helper.make_node("MatMul", ["inner", "head"], ["of_tokens"]))
    model.graph.node.append(helper.make_node("Gather", ["of_tokens", "last"], ["logits"]))
    model.graph.output[0].name = "logits"
    assert dense_inputs(model) == ["guarded"]
    rounded = {entry.name for entry in with_int8_weights(model).graph.initializer}
    assert "weights_int8" in rounded and "head" in rounded
