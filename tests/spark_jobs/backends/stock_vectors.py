"""Vectors of texts in plain words of transformers, each text alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional


def stock_vectors(model: Any, given: Sequence[Mapping[str, torch.Tensor]]) -> np.ndarray:
    """Of BERT's classifier, (N, 2 H): half of a product of two is of pooled vectors, half of the means within.

    Args:
        model: a BertForSequenceClassification of two or more blocks; the inner one is behind three quarters of them.
        given: inputs of one row without padding.
    """
    found = []
    with torch.inference_mode():
        for inputs in given:
            output = model.bert(**inputs, output_hidden_states=True)
            inner = output.hidden_states[model.config.num_hidden_layers * 3 // 4].mean(1)
            parts = (functional.normalize(part.double(), dim=1) for part in (output.pooler_output, inner))
            found.append(math.sqrt(0.5) * torch.cat([*parts], 1))
    return torch.cat(found).numpy()
