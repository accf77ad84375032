"""The stack of like blocks that a transformer is made of, wherever its architecture keeps them."""

from __future__ import annotations

from torch import nn

from mapring.errors import SettingsError


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The model's blocks, lowest first: its longest list of modules.

    Raises:
        SettingsError: the model has no such list.
    """
    found = longest_list(model)
    if found is None:
        raise SettingsError(
            "train.model: found no blocks in it, which train.method or train.compression needs; use method=full, and "
            "remove compression"
        )
    return found


def longest_list(model: nn.Module) -> nn.ModuleList | None:
    """The model's longest list of modules; None where it has none."""
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    return max(lists, key=len, default=None)
