"""The mean of a text's hidden states within an encoder, from a pass that is made for something else.

The last blocks of a classifier come to tell apart what its labels tell apart, and forget the rest; those before still
know what the text is about. The mean is taken behind three quarters of the blocks, in torch by a hook, in graphs by
nodes that are added. A model whose blocks are not found, or that has only one, has none.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, NodeProto, ValueInfoProto

INNER = "inner_block_mean"  # the output that `with_inner_output` adds
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter notes the modules that a node comes from
_PLACE = re.compile(r"(.+)\.(\d+)")


def inner_block(model: Any) -> Any | None:
    """The block behind which three quarters of a model of torch are done: the fourth of six, the ninth of twelve.

    The blocks are the longest list of modules; None where there is no list of several.
    """
    from torch import nn

    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    if not lists:
        return None
    blocks = max(lists, key=len)
    return blocks[inner_place(len(blocks))]


def inner_place(blocks: int) -> int:
    """Which of so many blocks it is, from 0; never the last one.

    Raises:
        ValueError: there are fewer than two.
    """
    if blocks < 2:
        raise ValueError(f"found {blocks} blocks, expected two or more")
    return min(blocks - 2, max(0, blocks * 3 // 4 - 1))


class InnerMeans:
    """Watches the inner block of a model of torch.

    Where the block is not called, or gives other than hidden states (B, T, H), the model counts as one without: that
    is tried on two rows of three tokens. So does one that cannot compute these, as BART, which looks for an end.

    Args:
        model: of transformers, that reads `input_ids` and `attention_mask`.
    """

    def __init__(self, model: Any) -> None:
        import torch

        self._hidden: Any = None
        block = inner_block(model)
        if block is None:
            return
        handle = block.register_forward_hook(self._keep)
        ids = torch.full((2, 3), int(model.config.pad_token_id or 0), device=model.device)
        try:
            with torch.inference_mode():
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (IndexError, RuntimeError, ValueError):
            self._hidden = None
        hidden = self._take()
        if hidden is None or hidden.ndim != 3 or hidden.shape[:2] != ids.shape:
            handle.remove()

    def _keep(self, _block: Any, _given: Any, found: Any) -> None:
        self._hidden = found[0] if isinstance(found, tuple) else found

    def _take(self) -> Any:
        hidden, self._hidden = self._hidden, None
        return hidden

    def means(self, attention_mask: Any) -> Any | None:
        """Of the rows of the last pass, (B, H), by its mask, (B, T); None of a model without an inner block."""
        hidden = self._take()
        if hidden is None:
            return None
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        return (hidden * mask).sum(1) / mask.sum(1)


def with_inner_output(model: ModelProto) -> ModelProto:
    """Let a graph also give the mean behind its inner block, as `INNER`; one without blocks stays as it is.

    So does one whose inner block does not hand on one tensor (B, T, H).

    Args:
        model: with an input `attention_mask`, (B, T); is changed in place.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    hidden = _hidden_of_graph(model)
    if hidden is None:
        return model
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), f"{INNER}_tokens"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), f"{INNER}_units"))
    mask, summed, counted = f"{INNER}_mask", f"{INNER}_sum", f"{INNER}_count"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["attention_mask"], [f"{mask}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{mask}_float", f"{INNER}_units"], [mask]),  # (B, T, 1)
            helper.make_node("Mul", [hidden, mask], [f"{INNER}_masked"]),
            helper.make_node("ReduceSum", [f"{INNER}_masked", f"{INNER}_tokens"], [summed], keepdims=0),
            helper.make_node("ReduceSum", [mask, f"{INNER}_tokens"], [counted], keepdims=0),
            helper.make_node("Div", [summed, counted], [INNER]),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(INNER, TensorProto.FLOAT, None))
    return model


def _hidden_of_graph(model: ModelProto) -> str | None:
    """What the inner block of a graph hands to the next one; None where it is not known."""
    places: dict[str, dict[int, list[NodeProto]]] = defaultdict(lambda: defaultdict(list))
    for node in model.graph.node:
        for prefix, index in _places(node):
            places[prefix][index].append(node)
    lists = [blocks for blocks in places.values() if len(blocks) > 1]
    if not lists:
        return None
    blocks = max(lists, key=len)
    order = sorted(blocks)
    inner = inner_place(len(order))
    given = [name for node in blocks[order[inner]] for name in node.output]
    read = {name for node in blocks[order[inner + 1]] for name in node.input}
    possible = _possible_hidden_states(model)  # shapes are handed on, too
    passed: set[str] = {name for name in given if name in read} & possible
    return passed.pop() if len(passed) == 1 else None


def _possible_hidden_states(model: ModelProto) -> set[str]:
    """The float tensors of a graph that can be hidden states, (B, T, H): of three axes, and tokens are not the first.

    A rewritten graph no longer says which axis is which.
    """
    from onnx import TensorProto, shape_inference

    graph = shape_inference.infer_shapes(model).graph
    tokens = {_axes(entry)[1] for entry in graph.input if len(_axes(entry)) == 2}
    return {
        entry.name
        for entry in graph.value_info
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT
        and len(_axes(entry)) == 3
        and _axes(entry)[0] not in tokens
    }


def _axes(entry: ValueInfoProto) -> list[str]:
    return [axis.dim_param or str(axis.dim_value) for axis in entry.type.tensor_type.shape.dim]


def _places(node: NodeProto) -> Iterable[tuple[str, int]]:
    """The lists that the modules of a node stand in, and where: ("model.bert.encoder.layer", 2)."""
    noted = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    for scope in ast.literal_eval(noted):
        match = _PLACE.fullmatch(scope)
        if match is not None:
            yield match.group(1), int(match.group(2))
