"""A model's output layer, and what it reads: one vector of each text, beside the logits of the same pass.

The output layer is linear, so texts whose vectors are near to each other get like logits: as embedding of a text the
vector knows what the classifier knows. It comes behind the last of what is computed for the first token, so graphs in
which nothing else is computed (`first_token.py`) have it as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mapring.errors import PublishedError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_PASSING = frozenset(("Identity", "Cast", "Add"))  # what may stand between an output layer and `logits`
_CHOOSING = frozenset(("Gather", "GatherND", "GatherElements", "Slice", "Reshape", "Squeeze", "Unsqueeze"))  # of tokens
READ = "read_by_output_layer"  # the output that `with_read_output` adds


def output_layer(model: Any) -> Any:
    """The output layer of a model of torch: the last linear one with as many outputs as labels.

    Raises:
        PublishedError: it has none.
    """
    from torch import nn

    labels = int(model.config.num_labels)
    found = [item for item in model.modules() if isinstance(item, nn.Linear) and item.out_features == labels]
    if not found:
        raise PublishedError(
            f"found no linear layer with {labels} outputs in a {type(model).__name__}; ask for classify"
        )
    return found[-1]


def with_read_output(model: ModelProto) -> ModelProto:
    """Let a graph whose output is `logits` also give what its output layer reads, as `READ`.

    Args:
        model: is changed in place.

    Raises:
        PublishedError: the logits do not come from a linear layer.
    """
    from onnx import TensorProto, helper

    name = _read_by(_makers(model), "logits")
    model.graph.node.append(helper.make_node("Identity", [name], [READ]))
    model.graph.output.append(helper.make_tensor_value_info(READ, TensorProto.FLOAT, None))
    return model


def products_behind_logits(model: ModelProto) -> set[str]:
    """What products (MatMul) give that `logits` are a sum or a choice of: of decoders, those of every token."""
    makers = _makers(model)
    found, waiting = set(), [entry.name for entry in model.graph.output if entry.name == "logits"]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.op_type == "MatMul":
            found.add(node.output[0])
        elif node is not None and node.op_type in _PASSING | _CHOOSING:
            waiting += node.input
    return found


def _makers(model: ModelProto) -> dict[str, NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def _read_by(makers: dict[str, NodeProto], name: str) -> str:
    node = makers.get(name)
    while node is not None and node.op_type in _PASSING:
        node = next((makers[given] for given in node.input if given in makers), None)
    if node is None or node.op_type not in ("Gemm", "MatMul"):
        kind = "nothing" if node is None else node.op_type
        raise PublishedError(f"found {kind} behind the logits of the graph, expected a linear layer; ask for classify")
    return str(node.input[0])
