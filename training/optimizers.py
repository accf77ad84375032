"""Optimizers whose state exists from the start, so that storing, loading and broadcasting it is a plain copy."""

from __future__ import annotations

import torch
from torch import nn

from mapring.settings.train import Train
from training.model import trainable_parameters


def make_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), SGD with momentum, or Adafactor (Shazeer and Stern 2018).

    Weight decay is for matrices; biases and norm weights have none. A step sets the learning rate.
    """
    parameters = trainable_parameters(model)
    groups = [
        {"params": [item for item in parameters if item.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [item for item in parameters if item.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    elif settings.optimizer == "adafactor":
        optimizer = torch.optim.Adafactor(groups, lr=0.0)
    else:
        optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = _first_state(parameter, settings)
    return optimizer


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimizer's step counters and moments by parameter name; the tensors themselves, not copies."""
    return {
        f"{kind}.{name}": tensor
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for kind, tensor in optimizer.state[parameter].items()
    }


def _first_state(parameter: nn.Parameter, settings: Train) -> dict[str, torch.Tensor]:
    """What torch's optimizer would make in its first step: zeros, which that step leads to the same values."""
    if settings.optimizer == "sgd":
        return {"momentum_buffer": torch.zeros_like(parameter, requires_grad=False)} if settings.momentum else {}
    if settings.optimizer == "adamw":
        return {
            "step": torch.zeros((), device=parameter.device),  # the fused step counts where it works
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    if parameter.ndim < 2:
        return {"step": torch.zeros(()), "variance": torch.zeros_like(parameter, requires_grad=False)}
    *others, rows, columns = parameter.shape
    return {
        "step": torch.zeros(()),
        "row_var": torch.zeros(*others, rows, 1, device=parameter.device),
        "col_var": torch.zeros(*others, 1, columns, device=parameter.device),
    }
