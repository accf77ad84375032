"""Dropout on processors whose masks come from a fast generator.

Torch draws each element of a mask from its Mersenne Twister, one after the other: of a step of six blocks, 384 wide, on
400 tokens that was 8 % of the time. SFC64 gives four elements at once; dropout takes a fifth of the time so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mapring.settings.train import Train
from training.device import HOST

_VALUES = 1 << 16  # of an element's random number: a probability is rounded to a multiple of 2**-16
_SEEDS = 1 << 62


def dropout_of(settings: Train, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Makes what a forward pass in training runs in: dropout from here, in attention too.

    On other devices, and of compiled models, it is torch's own.
    """
    return nullcontext if device != HOST or settings.compile else FastDropout


def dropout_of_parts(
    settings: Train, device: torch.device
) -> Callable[[], tuple[AbstractContextManager[object], AbstractContextManager[object]]]:
    """The same for a part of a pass that gradient checkpointing computes again in backward, where no context reaches.

    For `torch.utils.checkpoint`, which restores torch's random state there, and with it the masks.
    """
    make = dropout_of(settings, device)
    return lambda: (make(), make())


def keep_mask(like: torch.Tensor, probability: float) -> torch.Tensor:
    """0 with this probability, else 1 / (1 - probability); of the shape and type of another tensor.

    It hangs on torch's random state alone, which moves on by one number: a training resumes with the same masks.
    """
    generator = np.random.SFC64(int(torch.randint(_SEEDS, ())))
    numbers = generator.random_raw((like.numel() + 3) // 4).view(np.int16)[: like.numel()]
    kept = numbers >= round(probability * _VALUES) - _VALUES // 2
    # As bytes: torch takes 8 times as long to make numbers of booleans.
    return torch.from_numpy(kept.view(np.uint8)).view(like.shape).to(like.dtype).mul_(1 / (1 - probability))


class FastDropout(TorchFunctionMode):
    """Within it dropout, and attention with dropout, take their masks from here."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        keywords = keywords or {}
        if function is functional.dropout:
            return _dropout(*arguments, **keywords)
        if function is functional.scaled_dot_product_attention and 0 < keywords.get("dropout_p", 0.0) < 1:
            return _attention(*arguments, **keywords)
        return function(*arguments, **keywords)


def _dropout(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """As `torch.nn.functional.dropout`."""
    if not training or inplace or not 0 < p < 1:
        return functional.dropout(values, p, training, inplace)
    return values * keep_mask(values, p)


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """As `torch.nn.functional.scaled_dot_product_attention`; of a query that may look at nothing, too, it is 0."""
    if enable_gqa or is_causal:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    weights = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-1, -2)
    if attn_mask is None or attn_mask.dtype != torch.bool:
        shares = (weights if attn_mask is None else weights + attn_mask).softmax(-1)
        return (shares * keep_mask(shares, dropout_p)) @ value
    # The least number and not -inf, by which a query of padding whose window holds padding alone would be NaN.
    shares = weights.masked_fill(~attn_mask, torch.finfo(weights.dtype).min).softmax(-1)
    found = (shares * keep_mask(shares, dropout_p)) @ value
    return found * attn_mask.any(-1, keepdim=True)
