"""Rows of one label near each other, those of others far: the supervised contrastive loss (Khosla et al. 2020).

Of each row two vectors are compared, both of length 1 and of one pass: what the output layer reads, and the mean of the
last hidden states of its tokens. They take the place of the paper's two augmentations: so every row has something to
be near to, also where no other of its label is at hand, and what a pretrained encoder knows of whole texts, which is
in the mean, comes to the vector that the classifier reads.

A row is compared with the rows of its group: those of one lane in a global batch, which are the same for any number of
ranks, as in training/tasks/embedding.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from mapring.errors import SettingsError
from training.rows import NO_LABEL

_NEVER = -1e9  # in place of a similarity, whose size is at most 1 over the temperature; -inf would give NaN gradients


class Views(NamedTuple):
    """Two vectors of each row: `read` by the output layer, (B, H), and the `mean` of its hidden states, (B, H)."""

    read: torch.Tensor
    mean: torch.Tensor


def contrast_of_rows(views: Views, labels: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """The loss of each row, (B,), the mean of those of its two vectors; 0 of a row without a label.

    Of a vector it is the mean over the vectors of its label of -log(exp(s / T) / sum of exp(s / T) over all others),
    where s is the cosine (equation 2 of the paper). Rows without a label are compared with none.

    Args:
        views: of the rows.
        labels: int64 (B,), NO_LABEL where a row has none.
        groups: int64 (B,); only rows of one group are compared.
        temperature: T.
    """
    with torch.autocast(labels.device.type, enabled=False):
        vectors = functional.normalize(torch.cat([views.read, views.mean]).float(), dim=-1)  # (2 B, H)
        labels, groups = labels.repeat(2), groups.repeat(2)
        labelled = labels != NO_LABEL
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        compared = (groups[:, None] == groups[None, :]) & labelled[:, None] & labelled[None, :] & ~itself
        same = compared & (labels[:, None] == labels[None, :])
        similarities = (vectors @ vectors.T / temperature).masked_fill(~compared, _NEVER)
        shares = functional.log_softmax(similarities, dim=-1)
        of_vectors = -shares.masked_fill(~same, 0.0).sum(1) / same.sum(1).clamp(min=1)
        return of_vectors.view(2, -1).mean(0)


@contextmanager
def output_layer_inputs(model: nn.Module, classes: int) -> Iterator[list[torch.Tensor]]:
    """Keep what linear layers with `classes` outputs read in passes; the last one called is the output layer."""
    found: list[torch.Tensor] = []
    layers = [item for item in model.modules() if isinstance(item, nn.Linear) and item.out_features == classes]
    handles = [
        layer.register_forward_pre_hook(lambda _layer, arguments: found.append(arguments[0])) for layer in layers
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def views_of(read: list[torch.Tensor], hidden: torch.Tensor, attention_mask: torch.Tensor) -> Views:
    """The vectors of a pass.

    Args:
        read: what `output_layer_inputs` kept of it.
        hidden: its last hidden states, (B, T, H).
        attention_mask: (B, T), 0 where there is padding.

    Raises:
        SettingsError: the output layer does not read one vector of a text that is as wide as its hidden states.
    """
    shape = tuple(read[-1].shape) if read else None
    expected = (hidden.shape[0], hidden.shape[-1])
    if shape != expected:
        raise SettingsError(
            f"train.objective.contrast: found an output layer that reads {shape}, expected one vector of each text, "
            f"{expected}, as BERT and its like have it; set it to 0"
        )
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return Views(read[-1], (hidden * mask).sum(1) / mask.sum(1).clamp(min=1))
