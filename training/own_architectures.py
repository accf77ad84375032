"""Small models that transformers has not: an LSTM, and a bag of words as a baseline that a ring can train.

They look to the trainer as its models do: ids and mask in, an output with `logits`, a `config`, input embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import nn

from mapring.errors import SettingsError
from training.lstm_language_model import LstmLanguageModel
from training.own_configs import BagOfWordsConfig, LstmConfig, LstmLanguageConfig, Output, Sizes


class LstmClassifier(nn.Module):
    """Reads forwards and backwards (Graves and Schmidhuber 2005); the largest of each unit over the tokens decides.

    Padding stands behind each row's last token, in both directions, and is left out of the maximum: rows are read as
    they would be alone.
    """

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        sizes = [config.embedding_size, *[2 * config.hidden_size] * (config.num_layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(size, config.hidden_size, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, config.hidden_size, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)

    def get_input_embeddings(self) -> nn.Module:
        """The table of token embeddings."""
        return self.embedding

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Ids and mask (B, T) to logits (B, C)."""
        length = attention_mask.sum(1, keepdim=True)  # (B, 1)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None]  # (1, T)
        backward = torch.where(places < length, length - 1 - places, places)  # (B, T), its own inverse
        hidden = self.dropout(self.embedding(input_ids))  # (B, T, E)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            turned = hidden.gather(1, backward[..., None].expand_as(hidden))
            found = back(turned)[0]
            again = found.gather(1, backward[..., None].expand_as(found))
            hidden = self.dropout(torch.cat([ahead(hidden)[0], again], -1))  # (B, T, 2H)
        hidden = hidden.masked_fill(attention_mask[..., None] == 0, -1.0)  # the least that an LSTM gives
        return Output(self.classifier(hidden.amax(1)))


class BagOfWords(nn.Module):
    """The mean of the tokens' embeddings decides (Joulin et al. 2017)."""

    def __init__(self, config: BagOfWordsConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.embedding_size, config.num_labels)

    def get_input_embeddings(self) -> nn.Module:
        """The table of token embeddings."""
        return self.embedding

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Ids and mask (B, T) to logits (B, C)."""
        weights = attention_mask[..., None].float()  # (B, T, 1)
        mean = (self.embedding(input_ids) * weights).sum(1) / weights.sum(1).clamp(min=1)  # (B, E)
        return Output(self.classifier(self.dropout(mean)))


_ARCHITECTURES: dict[tuple[str, str], tuple[type[nn.Module], Sizes]] = {  # by architecture and task
    ("lstm", "classify"): (LstmClassifier, LstmConfig()),
    ("lstm", "clm"): (LstmLanguageModel, LstmLanguageConfig()),
    ("bag_of_words", "classify"): (BagOfWords, BagOfWordsConfig()),
}
_GIVEN = ("vocab_size", "num_labels", "pad_token_id")  # by tokenizer and task


def new_model(
    architecture: str,
    sizes: Mapping[str, Any],
    *,
    vocabulary_size: int,
    labels: int,
    pad: int | None,
    task: str = "classify",
) -> nn.Module:
    """One of these models with random weights; seed torch before.

    Raises:
        SettingsError: the architecture has no such size.
    """
    kind, config = _ARCHITECTURES[architecture, task]
    known = [field.name for field in fields(config) if field.name not in _GIVEN]
    for key in sizes:
        if key not in known:
            raise SettingsError(
                f"train.model.config: found {key!r}, expected for {architecture} one of {', '.join(known)}"
            )
    whole = replace(config, vocab_size=vocabulary_size, num_labels=labels, pad_token_id=pad or 0, **sizes)
    model: nn.Module = kind(whole)
    return model


def is_own(model: nn.Module) -> bool:
    """Whether a model is one of these."""
    return isinstance(model, tuple(kind for kind, _ in _ARCHITECTURES.values()))


def described(model: nn.Module) -> dict[str, Any]:
    """Architecture, task and sizes of one of these models, for its `config.json`."""
    name, task = next(names for names, (kind, _) in _ARCHITECTURES.items() if isinstance(model, kind))
    return {"architecture": name, "task": task, **asdict(model.config)}  # type: ignore[call-overload]
