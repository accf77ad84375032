"""The LSTM classifier as an ONNX graph, written by hand: torch's exporter unrolls it for one length.

ONNX's LSTM takes the rows' lengths and reads backwards from each row's own end, which is what the model does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from training.own_architectures import LstmClassifier

_GATES = (0, 3, 1, 2)  # torch has input, forget, cell, output; ONNX has input, output, forget, cell


def lstm_graph(model: LstmClassifier, opset: int) -> bytes:
    """Ids and mask (B, T), int64, to logits (B, C), float32, for any B and T."""
    constants = {
        "embedding": _array(model.embedding.weight),
        "one": np.array([1], np.int64),
        "last": np.array([2], np.int64),
        "joined": np.array([0, 0, -1], np.int64),
        "least": np.array(-1.0, np.float32),
        "weight": _array(model.classifier.weight),
        "bias": _array(model.classifier.bias),
    }
    nodes = [
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["lengths64"], keepdims=0),
        helper.make_node("Cast", ["lengths64"], ["lengths"], to=TensorProto.INT32),
        helper.make_node("Cast", ["attention_mask"], ["is_token"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["is_token", "last"], ["is_token_of_units"]),
        helper.make_node("Gather", ["embedding", "input_ids"], ["hidden0"]),
    ]
    layers = list(zip(model.forwards, model.backwards, strict=True))
    for number, (ahead, back) in enumerate(layers):
        constants |= {f"{name}{number}": value for name, value in _weights(ahead, back).items()}
        nodes += _layer(number, int(ahead.hidden_size))  # type: ignore[arg-type]
    nodes += [
        helper.make_node("Where", ["is_token_of_units", f"hidden{len(layers)}", "least"], ["masked"]),
        helper.make_node("ReduceMax", ["masked", "one"], ["largest"], keepdims=0),
        helper.make_node("Gemm", ["largest", "weight", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lstm",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", model.config.num_labels])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def _layer(number: int, hidden_size: int) -> list[onnx.NodeProto]:
    """Nodes from `hidden<number>`, (B, T, E), to the next, (B, T, 2H)."""
    given = [f"turned{number}", f"input{number}", f"recurrent{number}", f"biases{number}", "lengths"]
    return [
        helper.make_node("Transpose", [f"hidden{number}"], [f"turned{number}"], perm=[1, 0, 2]),  # (T, B, E)
        helper.make_node("LSTM", given, [f"read{number}"], hidden_size=hidden_size, direction="bidirectional"),
        helper.make_node("Transpose", [f"read{number}"], [f"apart{number}"], perm=[2, 0, 1, 3]),  # (B, T, 2, H)
        helper.make_node("Reshape", [f"apart{number}", "joined"], [f"hidden{number + 1}"]),
    ]


def _weights(ahead: nn.Module, back: nn.Module) -> dict[str, npt.NDArray[np.float32]]:
    """W (2, 4H, E), R (2, 4H, H) and the biases of both, (2, 8H), of a layer that reads in two directions."""
    both: list[Any] = [ahead, back]
    return {
        "input": np.stack([_by_gates(side.weight_ih_l0) for side in both]),
        "recurrent": np.stack([_by_gates(side.weight_hh_l0) for side in both]),
        "biases": np.stack([np.concatenate([_by_gates(side.bias_ih_l0), _by_gates(side.bias_hh_l0)]) for side in both]),
    }


def _by_gates(parameter: torch.Tensor) -> npt.NDArray[np.float32]:
    gates = np.split(_array(parameter), 4)
    return np.concatenate([gates[gate] for gate in _GATES])


def _array(parameter: torch.Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = parameter.detach().numpy()
    return found
