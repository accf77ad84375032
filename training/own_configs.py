"""Sizes of the architectures that transformers has not, as `train.model.config` names them, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch


class Output(NamedTuple):
    """What a model answers: `logits` of shape (B, C), or (B, T, V) of a language model."""

    logits: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What all of them have; the first three come from tokenizer and task. A language model has no labels."""

    vocab_size: int = 0
    num_labels: int = 0
    pad_token_id: int = 0
    embedding_size: int = 128
    dropout: float = 0.2


@dataclass(frozen=True, kw_only=True)
class BagOfWordsConfig(Sizes):
    """Sizes of a bag of words."""


@dataclass(frozen=True, kw_only=True)
class LstmConfig(Sizes):
    """Sizes of an LSTM."""

    hidden_size: int = 128
    num_layers: int = 1


@dataclass(frozen=True, kw_only=True)
class LstmLanguageConfig(LstmConfig):
    """Sizes of an LSTM that predicts the next token, and whether its output layer shares the embeddings."""

    tie_embeddings: bool = True
