"""The head of a trained classifier brought to other labels: its rows belong to names, not to places.

transformers keeps a head whose size fits, whatever its rows stood for, and makes a new one otherwise. Here the row of a
label goes where the new labels have it, and only labels that the model never had start from random rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mapring.errors import SettingsError
from training.output_layer import output_layer

_NO_NAME = re.compile(r"LABEL_\d+")  # what transformers calls labels that nobody has named


def named_labels(config: Any) -> list[str] | None:
    """The labels of a stored model's configuration in the order of its head's rows; None where they have no names."""
    numbered = getattr(config, "id2label", None) or {}
    labels = [str(numbered[number]) for number in sorted(numbered)]
    return None if all(_NO_NAME.fullmatch(label) for label in labels) else labels


def align_head(model: nn.Module, before: Sequence[str], labels: Sequence[str]) -> str:
    """Give a model a head for these labels; returns the name of its output layer.

    The output layer is the last linear one with as many outputs as there were labels. Rows of labels that were not
    there before are drawn as BERT draws its own: seed torch before.

    Raises:
        SettingsError: the model has no such layer.
    """
    found = output_layer(model, len(before))
    if found is None:
        raise SettingsError(
            f"train.model: found no linear layer with {len(before)} outputs in a {type(model).__name__}, whose "
            f"configuration names that many labels; remove id2label and label2id from its config.json"
        )
    config: Any = model.config
    parent, _, name = found.rpartition(".")
    layer = model.get_submodule(found)
    assert isinstance(layer, nn.Linear)
    head = nn.Linear(layer.in_features, len(labels), bias=layer.bias is not None)
    kept = [(new, before.index(label)) for new, label in enumerate(labels) if label in before]
    with torch.no_grad():
        nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
        if head.bias is not None:
            nn.init.zeros_(head.bias)
        for new, old in kept:
            head.weight[new] = layer.weight[old]
            if head.bias is not None:
                head.bias[new] = layer.bias[old]
    setattr(model.get_submodule(parent), name, head)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    model.num_labels = len(labels)  # type: ignore[assignment]
    return found
