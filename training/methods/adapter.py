"""Bottleneck adapters: a narrow residual layer behind every block, the blocks themselves frozen.

Houlsby et al. 2019 put two into every block; one behind it is as good at half the size (Pfeiffer et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.blocks import blocks_of
from training.output_layer import head_parameters


class Adapter(nn.Module):
    """Down to `width` units, GELU, up again, and added; at first it changes nothing."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden_size, width), nn.Linear(width, hidden_size)
        nn.init.normal_(self.down.weight, std=0.02)
        for start in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (B, T, H) to hidden states."""
        found: torch.Tensor = hidden + self.up(functional.gelu(self.down(hidden)))
        return found


class AdaptedBlock(nn.Module):
    """A block with an adapter behind it; whatever else is asked of it, the block answers."""

    def __init__(self, block: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.block, self.adapter = block, adapter

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """As the block; the adapter works on its hidden states, which come alone or first of several."""
        found = self.block(*arguments, **keywords)
        if isinstance(found, tuple):
            return (self.adapter(found[0]), *found[1:])
        return self.adapter(found)


def add_adapters(model: nn.Module, width: int, head: Sequence[str]) -> nn.Module:
    """Put an adapter behind every block, and leave only these and the head to be trained."""
    hidden_size = int(model.config.hidden_size)  # type: ignore[union-attr,arg-type]
    blocks = blocks_of(model)
    model.requires_grad_(False)
    for number, block in enumerate(blocks):
        blocks[number] = AdaptedBlock(block, Adapter(hidden_size, width))
    for parameter in head_parameters(model, head).values():
        parameter.requires_grad_(True)
    model.mapring_adapters = True  # type: ignore[assignment]
    return model


def adapter_tensors(model: nn.Module, head: Sequence[str]) -> dict[str, torch.Tensor]:
    """The weights of adapters and head by name: what there is beside the base model."""
    added = {name: item for name, item in model.state_dict().items() if ".adapter." in name}
    return {**added, **{name: item.detach() for name, item in head_parameters(model, head).items()}}
