"""Vectors of texts in plain words of transformers, each text alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional


def stock_vectors(model: Any, given: Sequence[Mapping[str, torch.Tensor]]) -> np.ndarray:
    """Of BERT's classifier, (N, 2 H): a third of a product of two is of pooled vectors, the rest of middle means.

    Args:
        model: a BertForSequenceClassification of N blocks; the middle is behind half of them, rounded down.
        given: inputs of one row without padding.
    """
    found = []
    with torch.inference_mode():
        for inputs in given:
            output = model.bert(**inputs, output_hidden_states=True)
            middle = output.hidden_states[model.config.num_hidden_layers // 2].mean(1)
            parts = (functional.normalize(part.double(), dim=1) for part in (output.pooler_output, middle))
            found.append(torch.cat([math.sqrt(share / 3) * part for share, part in zip((1, 2), parts, strict=True)], 1))
    return torch.cat(found).numpy()
