"""Encoders built as BERT's is, and ways of computing them in which they are given other forwards than their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from training.heads import as_evaluated, plain_model

_ATTENTION_PARTS = ("query", "key", "value", "dropout", "scaling", "attention_head_size")


class _Replaced(partial[Any]):
    """A module's forward in place of that of its class."""


def encoder_of(model: nn.Module) -> nn.Module | None:
    """A classifier's encoder, whose blocks are in `layer`; None where attention is built otherwise than BERT's."""
    plain = plain_model(model)
    config = getattr(plain, "config", None)
    encoder = getattr(getattr(plain, "base_model", None), "encoder", None)
    blocks = getattr(encoder, "layer", None)
    if not isinstance(blocks, nn.ModuleList) or getattr(config, "_attn_implementation", None) != "sdpa":
        return None
    return encoder if all(_is_bert_like(getattr(block, "attention", None)) for block in blocks) else None


def _is_bert_like(attention: nn.Module | None) -> bool:
    """Whether it is attention and what comes behind it, with nothing such as a norm ahead."""
    if attention is None or [name for name, _ in attention.named_children()] != ["self", "output"]:
        return False
    return all(hasattr(attention.self, part) for part in _ATTENTION_PARTS)


def replace_forwards(
    model: nn.Module, replacements: Mapping[nn.Module, Callable[..., Any]], inputs: Mapping[str, torch.Tensor]
) -> bool:
    """Give modules of a classifier other forwards, where its logits stay what they are; whether they do.

    Args:
        model: a classifier of transformers, with or without what a method has added.
        replacements: a function for each module, which is called with the module and what its own forward is.
        inputs: the model's keyword arguments, with `input_ids` and `attention_mask` of shape (B, T); rows to try are
            made of the first one.
    """
    tried = _of_two_lengths(inputs)
    with as_evaluated(model):
        whole = model(**tried).logits
        before = {module: module.__dict__.get("forward") for module in replacements}
        for module, function in replacements.items():
            module.forward = _Replaced(function, module)
        try:
            same = torch.allclose(model(**tried).logits, whole, atol=1e-5, rtol=1e-5)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):  # something else is needed behind
            same = False
    if not same:
        for module, forward in before.items():
            _restore(module, forward)
    return same


def restore_forwards(model: nn.Module) -> None:
    """Undo all `replace_forwards`: the model computes what stock transformers does."""
    for module in model.modules():
        if isinstance(module.__dict__.get("forward"), _Replaced):
            _restore(module, None)


def _restore(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    if forward is None:
        del module.forward
    else:
        module.forward = forward


def _of_two_lengths(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The first row twice, the first time with its second half masked out."""
    rows = {name: tensor[:1].repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in inputs.items()}
    mask = rows["attention_mask"]
    mask[0, (mask.shape[1] + 1) // 2 :] = 0
    return rows
