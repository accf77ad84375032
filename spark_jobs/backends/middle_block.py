"""The mean of a text's hidden states in the middle of an encoder, from a pass that is made for something else.

The upper blocks of a classifier come to tell apart what its labels tell apart, and forget the rest; the middle ones
still know what the text is about. The mean is taken behind the last block of the lower half, in torch by a hook, in
graphs by nodes that are added. A model whose blocks are not found, or that has only one, has none.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mapring.errors import PublishedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, NodeProto

MIDDLE = "middle_block_mean"  # the output that `with_middle_output` adds
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter notes the modules that a node comes from
_PLACE = re.compile(r"(.+)\.(\d+)")


def middle_block(model: Any) -> Any | None:
    """The last block of the lower half of a model of torch: the third of six, or of seven; None where there is none.

    The blocks are the longest list of modules.
    """
    from torch import nn

    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    if not lists:
        return None
    blocks = max(lists, key=len)
    return blocks[len(blocks) // 2 - 1]


class MiddleMeans:
    """Watches the middle block of a model of torch; `means` are those of the last pass.

    Args:
        model: of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._hidden: Any = None
        block = middle_block(model)
        if block is not None:
            block.register_forward_hook(self._keep)

    def _keep(self, _block: Any, _given: Any, found: Any) -> None:
        self._hidden = found[0] if isinstance(found, tuple) else found

    def means(self, attention_mask: Any) -> Any | None:
        """Of the rows of the last pass, (B, H), by its mask, (B, T); None of a model without a middle block."""
        if self._hidden is None:
            return None
        hidden, self._hidden = self._hidden, None
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        return (hidden * mask).sum(1) / mask.sum(1)


def with_middle_output(model: ModelProto) -> ModelProto:
    """Let a graph also give the mean behind its middle block, as `MIDDLE`; one without blocks stays as it is.

    Args:
        model: with an input `attention_mask`, (B, T); is changed in place.

    Raises:
        PublishedError: the blocks pass on more than hidden states, so which of it is meant is not known.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    hidden = _hidden_of_graph(model)
    if hidden is None:
        return model
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), f"{MIDDLE}_tokens"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), f"{MIDDLE}_units"))
    mask, summed, counted = f"{MIDDLE}_mask", f"{MIDDLE}_sum", f"{MIDDLE}_count"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["attention_mask"], [f"{mask}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{mask}_float", f"{MIDDLE}_units"], [mask]),  # (B, T, 1)
            helper.make_node("Mul", [hidden, mask], [f"{MIDDLE}_masked"]),
            helper.make_node("ReduceSum", [f"{MIDDLE}_masked", f"{MIDDLE}_tokens"], [summed], keepdims=0),
            helper.make_node("ReduceSum", [mask, f"{MIDDLE}_tokens"], [counted], keepdims=0),
            helper.make_node("Div", [summed, counted], [MIDDLE]),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(MIDDLE, TensorProto.FLOAT, None))
    return model


def _hidden_of_graph(model: ModelProto) -> str | None:
    """What the middle block of a graph hands to the next one; None where no blocks are noted."""
    places: dict[str, dict[int, list[NodeProto]]] = defaultdict(lambda: defaultdict(list))
    for node in model.graph.node:
        for prefix, index in _places(node):
            places[prefix][index].append(node)
    lists = [blocks for blocks in places.values() if len(blocks) > 1]
    if not lists:
        return None
    blocks = max(lists, key=len)
    order = sorted(blocks)
    middle = len(order) // 2 - 1
    given = [name for node in blocks[order[middle]] for name in node.output]
    read = {name for node in blocks[order[middle + 1]] for name in node.input}
    passed: set[str] = {name for name in given if name in read} & _of_three_axes(model)  # shapes are shared, too
    if len(passed) != 1:
        raise PublishedError(
            f"found {len(passed)} tensors that the middle block of the graph hands on, expected its hidden states "
            "alone; set score.backend to torch"
        )
    return passed.pop()


def _of_three_axes(model: ModelProto) -> set[str]:
    """The float tensors of a graph that can be hidden states, (B, T, H)."""
    from onnx import TensorProto, shape_inference

    entries = shape_inference.infer_shapes(model).graph.value_info
    kinds = ((entry.name, entry.type.tensor_type) for entry in entries)
    return {name for name, kind in kinds if kind.elem_type == TensorProto.FLOAT and len(kind.shape.dim) == 3}


def _places(node: NodeProto) -> Iterable[tuple[str, int]]:
    """The lists that the modules of a node stand in, and where: ("model.bert.encoder.layer", 2)."""
    noted = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    for scope in ast.literal_eval(noted):
        match = _PLACE.fullmatch(scope)
        if match is not None:
            yield match.group(1), int(match.group(2))
