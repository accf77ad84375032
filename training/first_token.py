"""The last block of a BERT-like classifier, for the first token only.

Such a classifier reads the first token of its last block. The others are needed there as keys and values of attention
alone; their queries and all that comes behind attention, five sixths of the block's products, would be computed and
thrown away, forward and backward. Taken for the first token only, a training of six blocks has an eighth less to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.heads import as_evaluated, plain_model

_ATTENTION_PARTS = ("query", "key", "value", "dropout", "scaling", "attention_head_size")


def choose_first_token(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    """Compute the last block for the first token only from now on, where the logits are those of all tokens.

    Models whose attention is built otherwise than BERT's, that read other tokens or mask the first one's attention
    stay as they are.

    Args:
        model: a classifier of transformers, with or without what a method has added.
        inputs: its keyword arguments, with `input_ids` and `attention_mask` of shape (B, T); the first row is used.
    """
    attention = _last_attention(model)
    if attention is None:
        return
    tried = _with_padding(inputs)
    with as_evaluated(model):
        whole = model(**tried).logits
        attention.forward = partial(_of_first_token, attention)
        try:
            same = torch.allclose(model(**tried).logits, whole, atol=1e-5, rtol=1e-5)
        except (IndexError, RuntimeError, TypeError, ValueError):  # something behind it needs every token
            same = False
    if not same:
        compute_all_tokens(model)


def compute_all_tokens(model: nn.Module) -> None:
    """Undo `choose_first_token`: the model computes what stock transformers does."""
    for module in model.modules():
        chosen = module.__dict__.get("forward")
        if isinstance(chosen, partial) and chosen.func is _of_first_token:
            del module.forward


def _last_attention(model: nn.Module) -> nn.Module | None:
    """The attention of a BERT-like encoder's last block, None of other models."""
    plain = plain_model(model)
    config = getattr(plain, "config", None)
    encoder = getattr(getattr(plain, "base_model", None), "encoder", None)
    blocks = getattr(encoder, "layer", None)
    if not isinstance(blocks, nn.ModuleList) or getattr(config, "_attn_implementation", None) != "sdpa":
        return None
    attention = getattr(blocks[-1], "attention", None)
    if not isinstance(attention, nn.Module) or [name for name, _ in attention.named_children()] != ["self", "output"]:
        return None  # such as one with a norm ahead
    return attention if all(hasattr(attention.self, part) for part in _ATTENTION_PARTS) else None


def _of_first_token(
    attention: nn.Module,
    hidden: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    past_key_values: Any = None,
    **others: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What BERT's attention gives for the first token, (B, 1, H), of all tokens' `hidden`, (B, T, H).

    Keys and values from before, as prefixes are, leave attention as it is.
    """
    if past_key_values is not None:
        whole: tuple[torch.Tensor, torch.Tensor | None] = type(attention).forward(
            attention, hidden, attention_mask, past_key_values=past_key_values, **others
        )
        return whole
    own: Any = attention.self
    behind: Any = attention.output
    first = hidden[:, :1]
    query, key, value = (
        part.unflatten(-1, (-1, own.attention_head_size)).transpose(1, 2)  # (B, heads, 1 or T, H / heads)
        for part in (own.query(first), own.key(hidden), own.value(hidden))
    )
    found = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],  # of (B, 1, T, T)
        dropout_p=own.dropout.p if own.training else 0.0,
        scale=own.scaling,
    )
    output: torch.Tensor = behind(found.transpose(1, 2).flatten(2), first)
    return output, None


def _with_padding(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The first row twice, the second time with its second half masked out."""
    rows = {name: tensor[:1].repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in inputs.items()}
    mask = rows["attention_mask"]
    mask[1, (mask.shape[1] + 1) // 2 :] = 0
    return rows
