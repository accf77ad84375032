"""ONNX graphs in which nothing is computed for tokens that no answer reads.

A BERT-like classifier reads the first token of its last block. The others are needed there as keys and values of
attention only; their queries and all that comes behind attention, four fifths of the block's work, are computed for
every token and thrown away. Here the first token is taken before that, and as many behind it as small batches need to
have `LEAST_ROWS`. No number of any answer changes but by the order of sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# OpenVINO leaves the input of a product of up to 4 rows in bf16, while that of more rows is rounded to int8 (2026.4).
LEAST_ROWS = 8
_OF_ELEMENTS = frozenset(
    ("Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Gelu", "Relu", "Sigmoid", "Cast", "Identity")
)
_START, _END = "first_token_start", "first_token_end"

Shapes = dict[str, list[int | str]]


def first_token_only(model: ModelProto) -> ModelProto:
    """Take the first token as early as nothing but it is needed; a graph that reads other tokens stays as it is.

    Args:
        model: is changed in place.
    """
    nodes, shapes = list(model.graph.node), _shapes(model)
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    kept = {entry.name for entry in model.graph.output}
    axes = {
        node.output[0]: 1 for node in nodes if _takes_the_first(node, model) and len(shapes.get(node.input[0], ())) == 3
    }
    starts = frozenset(axes)
    moved: dict[str, list[int | None]] = {}  # by output of a node, where the tokens are in its inputs
    for node in reversed(nodes):  # in the order of the graph, so all readers come before what they read
        name = node.output[0]
        found = {_axis_read(reader, name, axes, moved, starts) for reader in readers[name]}
        if name in kept or len(found) != 1 or None in found:
            continue
        axis = found.pop()
        inputs = _input_axes(node, axis, shapes) if axis is not None else None
        if inputs is not None and axis is not None:
            axes[name], moved[name] = axis, inputs
    _rewrite(model, nodes, moved, shapes)
    return model


def _axis_read(
    reader: NodeProto, name: str, axes: dict[str, int], moved: dict[str, list[int | None]], starts: frozenset[str]
) -> int | None:
    """The axis along which a node reads the first token of a tensor only; None where it reads all."""
    if reader.output[0] in starts:
        return axes[reader.output[0]] if reader.input[0] == name else None
    inputs = moved.get(reader.output[0])
    found = {inputs[place] for place, other in enumerate(reader.input) if other == name} if inputs else {None}
    return found.pop() if len(found) == 1 else None


def _input_axes(node: NodeProto, axis: int, shapes: Shapes) -> list[int | None] | None:
    """Where each input holds the tokens that are along an axis of the output; None of one that is needed whole.

    None in place of all of them for a node in which tokens meet, or that is not known.
    """
    if any(name not in shapes for name in (node.output[0], *node.input)):
        return None
    rank, inputs = len(shapes[node.output[0]]), [shapes[name] for name in node.input]
    if node.op_type in _OF_ELEMENTS:
        places = [axis - rank + len(shape) for shape in inputs]
        return [
            place if place >= 0 and shape[place] != 1 else None for place, shape in zip(places, inputs, strict=True)
        ]
    if node.op_type == "MatMul" and axis == rank - 2:
        return [len(inputs[0]) - 2, None]
    if node.op_type == "LayerNormalization" and axis != rank - 1 and _attribute(node, "axis", -1) == -1:
        return [axis, *[None] * (len(inputs) - 1)]
    if node.op_type == "Softmax" and axis != rank - 1 and _attribute(node, "axis", -1) in (-1, rank - 1):
        return [axis]
    if node.op_type == "Transpose":
        order = next(list(entry.ints) for entry in node.attribute if entry.name == "perm")
        return [int(order[axis])]
    if node.op_type == "Reshape" and axis == 1 and _divides_channels(inputs[0], shapes[node.output[0]]):
        return [1, None]
    return None


def _divides_channels(before: Sequence[int | str], after: Sequence[int | str]) -> bool:
    """Whether (B, T, H) becomes (B, T, heads, H / heads), or the other way round."""
    sizes = [*before[2:], *after[2:]]
    return {len(before), len(after)} == {3, 4} and all(isinstance(size, int) and size > 0 for size in sizes)


def _rewrite(model: ModelProto, nodes: list[NodeProto], moved: dict[str, list[int | None]], shapes: Shapes) -> None:
    """Slice what nodes for the first token read of nodes for all of them."""
    from onnx import helper, numpy_helper

    constants = {_START: [0], "first_token_added": [LEAST_ROWS - 1]}
    added: dict[str, NodeProto] = {}
    for node in nodes:
        for place, axis in enumerate(moved.get(node.output[0], ())):
            name = node.input[place]
            if axis is not None and name not in moved:
                constants[f"first_token_axis_{axis}"] = [axis]
                bounds = [_START, _END, f"first_token_axis_{axis}"]
                added[name] = helper.make_node("Slice", [name, *bounds], [f"{name}_first_token"])
                node.input[place] = f"{name}_first_token"
        if node.op_type == "Reshape" and node.output[0] in moved:  # the old shape says how many tokens there are
            constants[f"{node.output[0]}_shape"] = [0, -1, *(int(size) for size in shapes[node.output[0]][2:])]
            node.input[1] = f"{node.output[0]}_shape"
            del node.attribute[:]  # 0 stands for the number of rows
    if not added:
        return
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    del model.graph.value_info[:]  # the shapes before
    del model.graph.node[:]
    model.graph.node.extend(
        [  # LEAST_ROWS / B, rounded up
            helper.make_node("Shape", [model.graph.input[0].name], ["first_token_rows"], start=0, end=1),
            helper.make_node("Add", ["first_token_rows", "first_token_added"], ["first_token_sum"]),
            helper.make_node("Div", ["first_token_sum", "first_token_rows"], [_END]),
        ]
    )
    for entry in [*model.graph.initializer]:
        if entry.name in added:
            model.graph.node.append(added[entry.name])
    for node in nodes:
        model.graph.node.append(node)
        model.graph.node.extend(added[name] for name in node.output if name in added)


def _takes_the_first(node: NodeProto, model: ModelProto) -> bool:
    """Whether a node takes index 0 along the tokens of (B, T, H)."""
    from onnx import numpy_helper

    if node.op_type != "Gather" or _attribute(node, "axis", 0) != 1:
        return False
    index = next((entry for entry in model.graph.initializer if entry.name == node.input[1]), None)
    return index is not None and not numpy_helper.to_array(index).any()


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)


def _shapes(model: ModelProto) -> Shapes:
    """The axes of each tensor, by number where one is fixed, else by a name or as "?"; tensors of unknown rank miss."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    shapes: Shapes = {entry.name: list(entry.dims) for entry in graph.initializer}
    for entry in (*graph.value_info, *graph.input, *graph.output):
        if entry.type.tensor_type.HasField("shape"):
            axes = entry.type.tensor_type.shape.dim
            shapes[entry.name] = [axis.dim_value or axis.dim_param or "?" for axis in axes]
    return shapes
