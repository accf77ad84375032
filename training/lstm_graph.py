"""LSTMs as ONNX graphs, written by hand: torch's exporter unrolls them for one length.

ONNX's LSTM takes the rows' lengths, gives 0 behind them, and reads backwards from each row's own end; so do the models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from training.lstm_language_model import LstmLanguageModel
from training.own_architectures import LstmClassifier

_GATES = (0, 3, 1, 2)  # torch has input, forget, cell, output; ONNX has input, output, forget, cell
_IDS_AND_MASK = ("input_ids", "attention_mask")

Constants = dict[str, npt.NDArray[Any]]


def has_graph(model: nn.Module) -> bool:
    """Whether `lstm_graph` knows a model."""
    return isinstance(model, LstmClassifier | LstmLanguageModel)


def lstm_graph(model: nn.Module, opset: int) -> bytes:
    """Ids and mask (B, T), int64, to logits, float32, for any B and T: (B, C), or (B, T, V) of a language model."""
    if isinstance(model, LstmLanguageModel):
        layers: list[list[Any]] = [[layer] for layer in model.reader.layers]
        embedding, head, shape = model.reader.embedding, _next_token, ["B", "T", model.config.vocab_size]
    else:
        assert isinstance(model, LstmClassifier)
        layers = [list(both) for both in zip(model.forwards, model.backwards, strict=True)]
        embedding, head, shape = model.embedding, _largest_of_units, ["B", model.config.num_labels]
    constants: Constants = {"embedding": _array(embedding.weight), "joined": np.array([0, 0, -1], np.int64)}
    constants["one"] = np.array([1], np.int64)
    nodes = [
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["lengths64"], keepdims=0),
        helper.make_node("Cast", ["lengths64"], ["lengths"], to=TensorProto.INT32),
        helper.make_node("Gather", ["embedding", "input_ids"], ["hidden0"]),
    ]
    for number, directions in enumerate(layers):
        constants |= {f"{name}{number}": value for name, value in _weights(directions).items()}
        nodes += _layer(number, directions)
    nodes += head(model, f"hidden{len(layers)}", constants)
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in _IDS_AND_MASK],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def _largest_of_units(model: Any, hidden: str, constants: Constants) -> list[onnx.NodeProto]:
    """A classifier's nodes from hidden states (B, T, 2H) to `logits` (B, C)."""
    constants |= {
        "last": np.array([2], np.int64),
        "least": np.array(-1.0, np.float32),
        "weight": _array(model.classifier.weight),
        "bias": _array(model.classifier.bias),
    }
    return [
        helper.make_node("Cast", ["attention_mask"], ["is_token"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["is_token", "last"], ["is_token_of_units"]),
        helper.make_node("Where", ["is_token_of_units", hidden, "least"], ["masked"]),
        helper.make_node("ReduceMax", ["masked", "one"], ["largest"], keepdims=0),
        helper.make_node("Gemm", ["largest", "weight", "bias"], ["logits"], transB=1),
    ]


def _next_token(model: Any, hidden: str, constants: Constants) -> list[onnx.NodeProto]:
    """A language model's nodes from hidden states (B, T, H) to `logits` (B, T, V)."""
    nodes, given = [], hidden
    for number, layer in enumerate(model.lm_head):
        weight = "embedding" if layer.weight is model.reader.embedding.weight else f"weight{number}"
        constants |= {weight: _array(layer.weight), f"bias{number}": _array(layer.bias)}
        found = "logits" if number == len(model.lm_head) - 1 else f"projected{number}"
        nodes += [
            helper.make_node("Transpose", [weight], [f"{weight}_turned"], perm=[1, 0]),
            helper.make_node("MatMul", [given, f"{weight}_turned"], [f"product{number}"]),
            helper.make_node("Add", [f"product{number}", f"bias{number}"], [found]),
        ]
        given = found
    return nodes


def _layer(number: int, directions: list[Any]) -> list[onnx.NodeProto]:
    """Nodes from `hidden<number>`, (B, T, E), to the next, (B, T, DH), D being 1 or 2 directions."""
    given = [f"turned{number}", f"input{number}", f"recurrent{number}", f"biases{number}", "lengths"]
    sizes = {"hidden_size": int(directions[0].hidden_size)}
    direction = "bidirectional" if len(directions) == 2 else "forward"
    return [
        helper.make_node("Transpose", [f"hidden{number}"], [f"turned{number}"], perm=[1, 0, 2]),  # (T, B, E)
        helper.make_node("LSTM", given, [f"read{number}"], direction=direction, **sizes),
        helper.make_node("Transpose", [f"read{number}"], [f"apart{number}"], perm=[2, 0, 1, 3]),  # (B, T, D, H)
        helper.make_node("Reshape", [f"apart{number}", "joined"], [f"hidden{number + 1}"]),
    ]


def _weights(directions: list[Any]) -> dict[str, npt.NDArray[np.float32]]:
    """W (D, 4H, E), R (D, 4H, H) and the biases of both, (D, 8H), of a layer that reads in D directions."""
    return {
        "input": np.stack([_by_gates(side.weight_ih_l0) for side in directions]),
        "recurrent": np.stack([_by_gates(side.weight_hh_l0) for side in directions]),
        "biases": np.stack(
            [np.concatenate([_by_gates(side.bias_ih_l0), _by_gates(side.bias_hh_l0)]) for side in directions]
        ),
    }


def _by_gates(parameter: torch.Tensor) -> npt.NDArray[np.float32]:
    gates = np.split(_array(parameter), 4)
    return np.concatenate([gates[gate] for gate in _GATES])


def _array(parameter: torch.Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = parameter.detach().numpy()
    return found
