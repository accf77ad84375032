"""The classifier: a pretrained transformers directory with a new head, built without any network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from mapring import storage
from mapring.errors import SettingsError


def build_model(
    directory: str, *, labels: Sequence[str], seed: int, max_length: int, freeze_embeddings: bool, cache: Path
) -> nn.Module:
    """Load a pretrained encoder with a sequence classification head of `len(labels)` outputs, in fp32.

    Only parameters that receive a gradient stay trainable, because AdamW would decay the others.

    Args:
        directory: transformers directory, local, a URI or package://NAME/PATH.
        labels: names of the classes, in the order of their ids.
        seed: seed of the head's initial weights.
        max_length: longest sequence in tokens that the model will see.
        freeze_embeddings: keep all embedding tables as they are.
        cache: where the files of a remote directory are copied to.

    Raises:
        SettingsError: the directory holds no such model, or it cannot take `max_length` tokens.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # a directory is complete: never ask a hub
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local = storage.localize(storage.resolve(directory), cache)
    torch.manual_seed(seed)
    try:
        model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
            local,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={name: number for number, name in enumerate(labels)},
            problem_type="single_label_classification",
            local_files_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SettingsError(
            f"train.model: {directory} cannot be loaded as a sequence classifier ({reason}); "
            "give a complete transformers directory"
        ) from None
    if config_of(model).pad_token_id is None:
        config_of(model).pad_token_id = 0  # masked out; decoder models refuse to pad without one
    if freeze_embeddings:
        _freeze_embeddings(model)
    _probe(model, directory, max_length)
    return model


def config_of(model: nn.Module) -> Any:
    """The transformers configuration of a model."""
    return model.config


def check_vocabulary(model: nn.Module, directory: str, vocabulary: Mapping[str, int]) -> None:
    """Refuse a tokenizer whose ids are not those that the model was pretrained with.

    Args:
        model: built from `directory`.
        directory: transformers directory of the model, which may hold a tokenizer of its own.
        vocabulary: ids of the shards' tokenizer by token.

    Raises:
        SettingsError: an id has no embedding, or stands for another token in the model's own tokenizer.
    """
    size, largest = int(config_of(model).vocab_size), max(vocabulary.values(), default=-1)
    if largest >= size:
        raise SettingsError(
            f"preprocess.tokenizer: found token ids up to {largest}, but train.model has {size} embeddings; "
            "use the tokenizer that belongs to the model"
        )
    own = storage.join(storage.resolve(directory), "tokenizer.json")
    if not storage.exists(own):
        return
    expected = {
        number: token for token, number in Tokenizer.from_str(storage.read_bytes(own).decode()).get_vocab().items()
    }
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        if expected.get(number, token) != token:
            raise SettingsError(
                f"preprocess.tokenizer: found {token!r} with id {number}, but for train.model that is "
                f"{expected[number]!r}; use the tokenizer that belongs to the model"
            )


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes, in the model's own order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def state_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by name, tied ones once; the tensors themselves, not copies."""
    return {
        **{name: parameter.data for name, parameter in model.named_parameters()},
        **{name: buffer for name, buffer in model.named_buffers() if buffer.numel()},
    }


def _freeze_embeddings(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.requires_grad_(False)


def _probe(model: nn.Module, directory: str, max_length: int) -> None:
    """One forward and backward at full length: freezes what gets no gradient, and finds a model too short."""
    pad = int(config_of(model).pad_token_id)
    ids = torch.full((1, max_length), 0 if pad else 1, dtype=torch.int64)  # (1, T), none of them padding
    model.train()
    try:
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits  # (1, labels)
    except (IndexError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(
            f"train.model: {directory} cannot take {max_length} tokens ({reason}); lower preprocess.max_length"
        ) from None
    logits.sum().backward()
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
        parameter.grad = None
