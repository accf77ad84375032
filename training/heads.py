"""The output layer of language models, only where a prediction is wanted.

The vocabulary's logits are most of a small model's work and memory. Masked models need them at 15 % of the cells. The
model itself computes them, from the hidden states of those cells in place of all, so whatever stands behind its body,
by whatever name, is part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

_CHOSEN = "_mapring_head_of_cells"
_CELLS: ContextVar[torch.Tensor | None] = ContextVar("cells", default=None)  # places among B x T, int64 (N,)


def logits_at(model: nn.Module, inputs: Mapping[str, torch.Tensor], where: torch.Tensor) -> torch.Tensor:
    """Logits (N, V) of the N cells at which `where`, bool (B, T), is true."""
    if not hasattr(plain_model(model), _CHOSEN):
        all_logits: torch.Tensor = model(**inputs).logits
        return all_logits[where]
    before = _CELLS.set(where.flatten().nonzero()[:, 0])
    try:
        logits: torch.Tensor = model(**inputs).logits  # (1, N, V)
    finally:
        _CELLS.reset(before)
    return logits[0]


def choose_head(model: nn.Module, inputs: Mapping[str, torch.Tensor], where: torch.Tensor) -> None:
    """Compute the head for the wanted cells alone from now on, where their logits are then what they are among all."""
    plain = plain_model(model)
    body = getattr(plain, "base_model", plain)
    if body is plain or hasattr(plain, _CHOSEN):
        return
    tried = where.flatten().clone()
    tried[tried.nonzero()[1::3, 0]] = False  # some are left out, so that a head that looks at other cells is found out
    tried = tried.view_as(where)
    with as_evaluated(model):
        whole = logits_at(model, inputs, tried)
        handle = body.register_forward_hook(_of_cells)
        setattr(plain, _CHOSEN, True)
        try:
            same = torch.allclose(logits_at(model, inputs, tried), whole, atol=1e-5, rtol=1e-5)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):  # the head needs something else
            same = False
    if not same:
        handle.remove()
        delattr(plain, _CHOSEN)


def _of_cells(_body: nn.Module, _given: Any, output: Any) -> Any:
    """What a model's body gives, with the hidden states of some cells, (1, N, H), where only those are wanted."""
    cells = _CELLS.get()
    if cells is None:
        return output
    hidden = output[0].flatten(0, 1).index_select(0, cells)[None]
    if isinstance(output, tuple):
        return (hidden, *output[1:])
    return type(output)(**{**output, "last_hidden_state": hidden})


@contextmanager
def as_evaluated(model: nn.Module) -> Iterator[None]:
    """The model without dropout and gradients, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def plain_model(model: nn.Module) -> nn.Module:
    """The model itself, of one that peft has put its layers into."""
    inner = getattr(model, "get_base_model", None)
    return model if inner is None else inner()
