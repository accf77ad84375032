"""ONNX graphs in which nothing is computed for tokens that no answer reads.

A BERT-like classifier reads the first token of its last block. The others are needed up to that block's attention, as
keys and values; what comes behind it, some three quarters of the block's work, is computed for every token and thrown
away. Here the first token is taken before that, and as many behind it as small batches need to have `LEAST_ROWS`. No
number of any answer changes but by the order of sums.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_OF_ELEMENTS = frozenset(
    (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Sqrt",
        "Erf",
        "Tanh",
        "Gelu",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Cast",
        "Identity",
    )
)
_TOKENS = 1  # the axis of (B, T, H)
# OpenVINO leaves the input of a product of up to 4 rows in bf16, while that of more rows is rounded to int8 (2026.4).
LEAST_ROWS = 8
_BOUNDS = _START, _END, _AXIS = ("first_token_start", "first_token_end", "first_token_axis")


def first_token_only(model: ModelProto) -> ModelProto:
    """Take the first token as early as nothing but it is needed; a graph that reads other tokens stays as it is.

    Args:
        model: is changed in place.
    """
    from onnx import helper

    nodes = list(model.graph.node)
    ranks = _ranks(model)
    readers: defaultdict[str, list[NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    outputs = {entry.name for entry in model.graph.output}
    starts = {node.output[0] for node in nodes if _takes_the_first(node, model) and ranks.get(node.input[0]) == 3}
    moved: set[str] = set()  # first outputs of nodes that compute the first token only
    for node in reversed(nodes):  # in the order of the graph, so all readers come before what they read
        name = node.output[0]
        is_read_once = all(reader.output[0] in moved | starts for reader in readers[name])
        if readers[name] and name not in outputs and is_read_once and _is_token_wise(node, ranks):
            moved.add(name)
    added: dict[str, NodeProto] = {}
    for node in nodes:
        if node.output[0] not in moved:
            continue
        for place, name in enumerate(node.input):
            if ranks.get(name) == 3 and name not in moved:
                added[name] = helper.make_node("Slice", [name, *_BOUNDS], [f"{name}_first_token"])
                node.input[place] = f"{name}_first_token"
    if added:
        del model.graph.value_info[:]  # the shapes before
        del model.graph.node[:]
        model.graph.node.extend(_end_of_slices(model))
        for node in nodes:
            model.graph.node.append(node)
            model.graph.node.extend(added[name] for name in node.output if name in added)
    return model


def _end_of_slices(model: ModelProto) -> list[NodeProto]:
    """Nodes that tell how many tokens to take in a batch of B rows: LEAST_ROWS / B, rounded up."""
    from onnx import helper, numpy_helper

    constants = {_START: 0, _AXIS: _TOKENS, "first_token_added": LEAST_ROWS - 1}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    return [
        helper.make_node("Shape", [model.graph.input[0].name], ["first_token_rows"], start=0, end=1),
        helper.make_node("Add", ["first_token_rows", "first_token_added"], ["first_token_sum"]),
        helper.make_node("Div", ["first_token_sum", "first_token_rows"], [_END]),
    ]


def _takes_the_first(node: NodeProto, model: ModelProto) -> bool:
    """Whether a node takes index 0 along the tokens."""
    from onnx import numpy_helper

    if node.op_type != "Gather" or _attribute(node, "axis", 0) != _TOKENS:
        return False
    index = next((entry for entry in model.graph.initializer if entry.name == node.input[1]), None)
    return index is not None and not numpy_helper.to_array(index).any()


def _is_token_wise(node: NodeProto, ranks: dict[str, int]) -> bool:
    """Whether a token's output, (B, T, H), is made of that token's inputs and of constants without tokens."""
    inputs = [ranks.get(name) for name in node.input]
    if node.op_type == "MatMul":
        return inputs == [3, 2]
    if node.op_type == "LayerNormalization":
        return inputs[0] == 3 and set(inputs[1:]) <= {1} and _attribute(node, "axis", -1) == -1
    return node.op_type in _OF_ELEMENTS and 3 in inputs and set(inputs) <= {0, 1, 3}


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)


def _ranks(model: ModelProto) -> dict[str, int]:
    """How many axes each tensor has, of those that can be told."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    ranks = {entry.name: len(entry.dims) for entry in graph.initializer}
    for entry in (*graph.value_info, *graph.input, *graph.output):
        if entry.type.tensor_type.HasField("shape"):
            ranks[entry.name] = len(entry.type.tensor_type.shape.dim)
    return ranks
