"""The feed-forward part of a transformer's block, found by its shapes: which units it has, and a block without some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from mapring.errors import SettingsError

_SIZE_KEYS = ("intermediate_size", "n_inner", "hidden_dim", "ffn_dim")  # BERT and Llama, GPT-2, DistilBERT, OPT
_MULTIPLE = 8  # of units, for which matrix multiplication is written


class FeedForward(NamedTuple):
    """The matrices of a block that lead to its units and from them, by their names in the block.

    `incoming` has one name, or two where a gate is multiplied with what it lets through, as in Llama; `units_first`
    tells for each matrix whether its first dimension is that of the units. `norms` are the Euclidean norms of each
    unit's weights in each matrix, (matrices, units). `size_key` is what the configuration calls their number.
    """

    incoming: tuple[str, ...]
    outgoing: str
    units_first: dict[str, bool]
    norms: torch.Tensor
    size_key: str


def feed_forward_of(block: nn.Module, config: Any) -> FeedForward:
    """The feed-forward part of a block.

    Raises:
        SettingsError: it has none that is understood: one matrix from the units and one to them, or two beside it.
    """
    size_key, units = _size(config)
    shapes = {name: shape for name, module in block.named_modules() if (shape := _in_and_out(module)) is not None}
    incoming = tuple(name for name, (_, out) in shapes.items() if out == units)
    outgoing = [name for name, (into, _) in shapes.items() if into == units]
    is_gated = len(incoming) == 2 and {_parent(name) for name in incoming} == {_parent(name) for name in outgoing}
    if len(outgoing) != 1 or (len(incoming) != 1 and not is_gated) or outgoing[0] in incoming:
        raise SettingsError(
            f"train.compression.keep_units: in {config.model_type} found {len(incoming)} matrices to the {units} "
            f"feed-forward units of a layer, and {len(outgoing)} from them, expected one to them, or two beside it, "
            "and one from them; set keep_units=1"
        )
    modules = dict(block.named_modules())
    units_first = {**dict.fromkeys(incoming, True), outgoing[0]: False}
    for name in units_first:
        if not isinstance(modules[name], nn.Linear):  # GPT-2's matrices are stored the other way round
            units_first[name] = not units_first[name]
    norms = torch.stack(
        [
            torch.linalg.vector_norm(modules[name].weight.detach().double(), dim=1 if first else 0)
            for name, first in units_first.items()
        ]
    )
    return FeedForward(incoming, outgoing[0], units_first, norms, size_key)


def kept_units(part: FeedForward, share: float) -> list[int]:
    """The units of the largest products of norms, in their order; a multiple of 8, and at least 8 where there are."""
    units = part.norms.shape[1]
    count = min(units, max(_MULTIPLE, round(share * units / _MULTIPLE) * _MULTIPLE))
    ranked = torch.argsort(part.norms.prod(0), descending=True, stable=True)
    return sorted(ranked[:count].tolist())


def without_units(state: dict[str, torch.Tensor], prefix: str, part: FeedForward, units: Sequence[int]) -> None:
    """Leave only these units in the weights of one block, whose names begin with `prefix`."""
    chosen = torch.tensor(units)
    for name, first in part.units_first.items():
        key = f"{prefix}{name}.weight"
        state[key] = state[key].index_select(0 if first else 1, chosen)
    for name in part.incoming:
        key = f"{prefix}{name}.bias"
        if key in state:
            state[key] = state[key].index_select(0, chosen)


def _size(config: Any) -> tuple[str, int]:
    """What the configuration calls the number of feed-forward units, and the number."""
    for key in _SIZE_KEYS:
        if hasattr(config, key):
            told = getattr(config, key)
            return key, 4 * int(config.hidden_size) if told is None else int(told)  # None is GPT-2's own default
    raise SettingsError(
        f"train.compression.keep_units: found no number of feed-forward units in the configuration of a "
        f"{config.model_type}, expected one of {', '.join(_SIZE_KEYS)}; set keep_units=1"
    )


def _in_and_out(module: nn.Module) -> tuple[int, int] | None:
    """Units before and behind a matrix of a linear layer; None of anything else."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":  # transformers' own linear layer, which GPT-2 has
        into, out = module.weight.shape  # type: ignore[misc]
        return int(into), int(out)
    return None


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
