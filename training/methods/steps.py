"""What a method adds to a loss, and what it does behind an optimizer step."""

from __future__ import annotations

import torch
from torch import nn


def penalty(model: nn.Module) -> torch.Tensor | None:
    """What the method adds to the mean loss; None for most.

    AdaLoRA's matrices stand for singular vectors: their rows are to be orthonormal (Zhang et al. 2023, equation 4).
    """
    if getattr(model, "mapring_allocation", None) is None:
        return None
    config = next(iter(model.peft_config.values()))  # type: ignore[operator]
    distances = []
    for name, item in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            products = item @ item.T if "lora_A" in name else item.T @ item  # (rank, rank)
            distances.append(torch.linalg.matrix_norm(products - torch.eye(len(products), device=products.device)))
    mean: torch.Tensor = torch.stack(distances).mean()
    return float(config.orth_reg_weight) * mean


def after_step(model: nn.Module, step: int) -> None:
    """Called on every rank behind optimizer step `step`, counted from 0, while the step's gradients are there."""
    allocation = getattr(model, "mapring_allocation", None)
    if allocation is not None:
        allocation.after_step(step)
