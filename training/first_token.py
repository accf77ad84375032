"""The last block of a BERT-like classifier, for the first token only.

Such a classifier reads the first token of its last block. The others are needed there as keys and values of attention
alone; their queries and all that comes behind attention, five sixths of the block's products, would be computed and
thrown away, forward and backward. Taken for the first token only, a training of six blocks has an eighth less to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from training.bert_like import attention_of, encoder_of, replace_forwards
from training.unpadded import Groups, attention_in_groups


def choose_first_token(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    """Compute the last block for the first token only from now on, where the logits are those of all tokens.

    Models whose attention is built otherwise than BERT's, that read other tokens or mask the first one's attention
    stay as they are.

    Args:
        model: a classifier of transformers, with or without what a method has added.
        inputs: its keyword arguments, with `input_ids` and `attention_mask` of shape (B, T); the first row is used.
    """
    encoder = encoder_of(model)
    if encoder is not None:
        replace_forwards(model, {encoder.layer[-1].attention: _of_first_token}, inputs)  # type: ignore[union-attr,index]


def _of_first_token(
    attention: nn.Module, hidden: torch.Tensor, attention_mask: Any = None, past_key_values: Any = None, **others: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What BERT's attention gives for the first token, (B, 1, H), of all tokens' `hidden`, (B, T, H), or of groups.

    Keys and values from before, as prefixes are, leave attention as it is.
    """
    if past_key_values is not None:
        whole: tuple[torch.Tensor, torch.Tensor | None] = type(attention).forward(
            attention, hidden, attention_mask, past_key_values=past_key_values, **others
        )
        return whole
    own: Any = attention.self
    if isinstance(attention_mask, Groups):
        first = hidden[0, attention_mask.starts]
        queries, keys, values = own.query(first), own.key(hidden[0]), own.value(hidden[0])
        found = attention_in_groups(own, attention_mask, queries, keys, values)[:, None]
        return attention.output(found, first[:, None]), None  # type: ignore[operator]
    first = hidden[:, :1]
    mask = None if attention_mask is None else attention_mask[:, :, :1]  # of (B, 1, T, T)
    found = attention_of(own, own.query(first), own.key(hidden), own.value(hidden), mask)
    return attention.output(found, first), None  # type: ignore[operator]
