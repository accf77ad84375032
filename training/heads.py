"""The output layer of language models, only where a prediction is wanted.

The vocabulary's logits are most of a small model's work and memory. Masked models need them at 15 % of the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

_HEADS = ("cls", "lm_head")  # as BERT and its like, and as RoBERTa and the decoders name it
_CHOSEN = "_mapring_sparse_head"


def logits_at(model: nn.Module, inputs: Mapping[str, torch.Tensor], where: torch.Tensor) -> torch.Tensor:
    """Logits (N, V) of the N cells at which `where`, bool (B, T), is true."""
    plain = plain_model(model)
    head = _head(plain)
    if head is None or not getattr(plain, _CHOSEN, False):
        logits: torch.Tensor = model(**inputs).logits[where]
        return logits
    hidden = plain.base_model(**inputs)[0]  # type: ignore[operator]  # (B, T, H)
    found: torch.Tensor = head(hidden[where])
    return found


def choose_head(model: nn.Module, inputs: Mapping[str, torch.Tensor], where: torch.Tensor) -> None:
    """Take the head alone from now on where that gives what the whole model gives; some scale or cap their logits."""
    plain = plain_model(model)
    if _head(plain) is None:
        return
    with as_evaluated(model):
        whole = logits_at(model, inputs, where)
        setattr(plain, _CHOSEN, True)
        setattr(plain, _CHOSEN, torch.allclose(logits_at(model, inputs, where), whole, atol=1e-5, rtol=1e-5))


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


def _head(model: nn.Module) -> nn.Module | None:
    found = (getattr(model, name, None) for name in _HEADS)
    return next((head for head in found if isinstance(head, nn.Module)), None)
