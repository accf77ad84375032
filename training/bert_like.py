"""Encoders built as BERT's is, and ways of computing them in which they are given other forwards than their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

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


def attention_of(
    own: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention with the heads, dropout and scale of BERT's; (B, Q, H).

    Args:
        own: BERT's module of queries, keys and values.
        query: (B, Q, H).
        key: (B, T, H).
        value: (B, T, H).
        mask: bool (B, 1, 1 or Q, T), false where a token is not looked at; None where all are.
    """
    queries, keys, values = (
        torch.unflatten(part, -1, (-1, own.attention_head_size)).transpose(1, 2)  # (B, heads, Q or T, H / heads)
        for part in (query, key, value)
    )
    found = functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        dropout_p=own.dropout.p if own.training else 0.0,
        scale=own.scaling,
    )
    return found.transpose(1, 2).flatten(2)


def replace_forwards(
    model: nn.Module, replacements: Mapping[nn.Module, Callable[..., Any]], inputs: Mapping[str, torch.Tensor]
) -> None:
    """Give modules of a classifier other forwards, unless its logits would not be what they are.

    Args:
        model: a classifier of transformers, with or without what a method has added.
        replacements: of modules with their own forwards, a function for each, which is called with the module and what
            its own forward is.
        inputs: the model's keyword arguments, with `input_ids` and `attention_mask` of shape (B, T); rows to try are
            made of the first one.
    """
    tried = _of_two_lengths(inputs)
    with as_evaluated(model):
        whole = model(**tried).logits
        for module, function in replacements.items():
            module.forward = _Replaced(function, module)
        try:
            same = torch.allclose(model(**tried).logits, whole, atol=1e-5, rtol=1e-5)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):  # something else is needed behind
            same = False
    if not same:
        for module in replacements:
            del module.forward


def restore_forwards(model: nn.Module) -> None:
    """Undo all `replace_forwards`: the model computes what stock transformers does."""
    for module in model.modules():
        if isinstance(module.__dict__.get("forward"), _Replaced):
            del module.forward


def _of_two_lengths(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The first row twice, the first time with half of it or more masked out."""
    rows = {name: tensor[:1].repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in inputs.items()}
    mask = rows["attention_mask"]
    mask[0, max(1, mask.shape[1] // 2) :] = 0
    return rows
