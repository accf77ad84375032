"""The model: a pretrained transformers directory or an architecture with random weights, built without any network."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn

from mapring import local_copies, storage
from mapring.base_model import transformers_directory
from mapring.errors import SettingsError, in_one_line
from mapring.settings.combinations import OWN_ARCHITECTURES
from mapring.settings.train import ModelSource
from training.blocks import longest_list
from training.device import device_of
from training.dropout import dropout_settings
from training.heads import plain_model
from training.label_alignment import align_head, named_labels
from training.methods import state_of_method
from training.output_layer import output_layer_of
from training.own_architectures import new_model
from training.padding import unlike_padding
from training.special_tokens import SpecialTokens

if TYPE_CHECKING:
    from training.tasks.interface import Task

_SPARE_POSITIONS = 2  # RoBERTa and its like begin to count positions behind the padding token


class BuiltModel(NamedTuple):
    """A model, and the names of its modules that a pretrained one did not bring."""

    model: nn.Module
    head: tuple[str, ...]


def build_model(
    source: ModelSource,
    task: Task,
    tokens: SpecialTokens,
    *,
    max_length: int,
    cache: Path,
    dropout: float | None = None,
) -> BuiltModel:
    """Load a pretrained model for a task, or make one with random weights, in fp32.

    What a task adds to a pretrained model, such as a classifier's head, starts from random weights: seed torch before.

    Args:
        source: a directory, or an architecture and its sizes.
        task: what the model is for.
        tokens: of the tokenizer, which a new model is made for.
        max_length: longest sequence in tokens that the model will see.
        cache: where the files of a remote directory are copied to.
        dropout: every probability of a transformers model, in place of its own.

    Raises:
        SettingsError: the directory holds no such model, or there is no such architecture, or it has not these sizes.
    """
    auto = _auto_class(task.auto_class)
    if source.architecture in OWN_ARCHITECTURES:
        return BuiltModel(_own(source, task, tokens), ())
    if source.directory is None:
        config = new_config(source, tokens, max_length, task.model_settings(), dropout)
        built = BuiltModel(auto.from_config(config, dtype=torch.float32), ())
    else:
        built = load_pretrained(task.auto_class, source.directory, task.model_settings(), cache, dropout=dropout)
    set_padding(built.model, tokens)
    return built


def set_padding(model: nn.Module, tokens: SpecialTokens) -> None:
    """Give a model a padding token if it has none: it is masked out, but decoders refuse to pad without one."""
    if config_of(model).pad_token_id is None:
        config_of(model).pad_token_id = tokens.pad or 0


def _auto_class(name: str) -> Any:
    """A class of transformers by its name, with transformers quiet and offline."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a directory is complete: never ask a hub
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return getattr(transformers, name)


def _own(source: ModelSource, task: Task, tokens: SpecialTokens) -> nn.Module:
    assert source.architecture is not None
    return new_model(
        source.architecture,
        source.config,
        vocabulary_size=tokens.vocabulary_size,
        labels=len(task.labels),
        pad=tokens.pad,
        task=task.name,
    )


def load_pretrained(
    auto_class: str,
    directory: str,
    settings: Mapping[str, Any],
    cache: Path,
    key: str = "train.model",
    dropout: float | None = None,
) -> BuiltModel:
    """A transformers directory in fp32, and which of its modules it did not bring; `key` is told in errors.

    Raises:
        SettingsError: the directory holds no such model, or has no dropout that could be set.
    """
    auto, local = _auto_class(auto_class), local_copies.localize(transformers_directory(directory), cache)
    try:
        config = _stored_config(local)
        before, labels = named_labels(config), list(settings.get("id2label", {}).values())
        realigned = bool(labels) and before is not None and before != labels
        model, info = auto.from_pretrained(
            local,
            **({"problem_type": settings["problem_type"]} if realigned else settings),
            **dropout_settings(config, dropout),
            local_files_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = in_one_line(error)
        raise SettingsError(
            f"{key}: {directory} cannot be loaded as a {_plainly(auto_class)} ({reason}); "
            "give a complete transformers directory"
        ) from None
    fresh = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
    _refuse_an_empty_body(model, fresh, f"{key}: {directory}")
    head = {name.rpartition(".")[0] for name in fresh}
    if realigned and before is not None:
        head.add(align_head(model, before, labels))
    return BuiltModel(model, tuple(sorted(head)))


def _refuse_an_empty_body(model: nn.Module, fresh: Sequence[str], where: str) -> None:
    """Heads and poolers may start from random weights; a body that does was not pretrained here, whoever says so."""
    parts = [part for part in (model.get_input_embeddings(), longest_list(model)) if part is not None]  # type: ignore[operator]
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if any(module is part for part in parts))
    missing = sorted(name for name in fresh if name.startswith(prefixes))
    if missing:
        raise SettingsError(
            f"{where}: found no weights, or some of another size, for {missing[0]} and {len(missing) - 1} more tensors "
            f"of {config_of(model).model_type}'s body, expected all of them; give a directory whose config.json and "
            "weights belong together, with the names that transformers gives them"
        )


def _stored_config(local: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(local, local_files_only=True)


def new_config(
    source: ModelSource,
    tokens: SpecialTokens,
    max_length: int,
    settings: Mapping[str, Any],
    dropout: float | None = None,
) -> Any:
    """The transformers configuration of a model with random weights, made for a tokenizer.

    Raises:
        SettingsError: there is no such architecture, or its configuration has no such key.
    """
    from transformers import AutoConfig

    assert source.architecture is not None
    try:
        known = AutoConfig.for_model(source.architecture)
    except (ValueError, KeyError):
        raise SettingsError(
            f"train.model.architecture: found {source.architecture!r}, expected a model type of transformers, "
            "such as bert, roberta, gpt2 or llama"
        ) from None
    for key in source.config:
        if not hasattr(known, key):
            close = difflib.get_close_matches(key, known.to_dict(), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"train.model.config: found {key!r}, which {source.architecture} has not{hint}")
    values = {
        "vocab_size": tokens.vocabulary_size,
        "max_position_embeddings": max_length + _SPARE_POSITIONS,
        "pad_token_id": tokens.pad,
        "bos_token_id": tokens.bos,
        "eos_token_id": tokens.eos,
        **settings,
        **dropout_settings(known, dropout),
        **source.config,
    }
    return AutoConfig.for_model(source.architecture, **values)


def _plainly(auto_class: str) -> str:
    """AutoModelForSequenceClassification as "model for sequence classification"."""
    return " ".join(re.findall("[A-Z][a-z]+|[A-Z]+(?![a-z])", auto_class.removeprefix("Auto"))).lower()


def config_of(model: nn.Module) -> Any:
    """The transformers configuration of a model."""
    return model.config


def check_vocabulary(
    model: nn.Module, source: ModelSource, vocabulary: Mapping[str, int], key: str = "train.model"
) -> None:
    """Refuse a tokenizer whose ids are not those that the model was pretrained with.

    Args:
        model: built from `source`.
        source: of the model; a directory may hold a tokenizer of its own.
        vocabulary: ids of the shards' tokenizer by token.
        key: the setting that names the model.

    Raises:
        SettingsError: an id has no embedding, or stands for another token in the model's own tokenizer.
    """
    size, largest = int(config_of(model).vocab_size), max(vocabulary.values(), default=-1)
    if largest >= size:
        raise SettingsError(
            f"preprocess.tokenizer: found token ids up to {largest}, but {key} has {size} embeddings; "
            "use the tokenizer that belongs to the model"
        )
    own = None if source.directory is None else storage.join(transformers_directory(source.directory), "tokenizer.json")
    if own is None or not storage.exists(own):
        return
    expected = {
        number: token for token, number in Tokenizer.from_str(storage.read_bytes(own).decode()).get_vocab().items()
    }
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        if expected.get(number, token) != token:
            raise SettingsError(
                f"preprocess.tokenizer: found {token!r} with id {number}, but for {key} that is "
                f"{expected[number]!r}; use the tokenizer that belongs to the model"
            )


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes, in the model's own order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def state_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """All that training changes or needs, by name, tied tensors once; the tensors themselves, not copies."""
    return {
        **state_of_method(model),
        **{name: parameter.data for name, parameter in model.named_parameters()},
        **{name: buffer for name, buffer in model.named_buffers() if buffer.numel()},
    }


def freeze_embeddings(model: nn.Module) -> None:
    """Keep all embedding tables as they are."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.requires_grad_(False)


def try_model(model: nn.Module, task: Task, max_length: int, source: ModelSource) -> None:
    """One forward and backward at full length: freezes what gets no gradient, and finds a model too short.

    Raises:
        SettingsError: the model cannot take so many tokens, or its output layer would not learn.
    """
    vocabulary = int(config_of(model).vocab_size)
    batch = task.sample_batch(1, max_length, vocabulary)
    padding = config_of(model).pad_token_id
    batch.input_ids[:] = [unlike_padding(ids, padding, vocabulary) for ids in batch.input_ids]
    (piece,) = task.pieces(batch, model, 0, max_length)
    model.train()
    piece = piece.on(device_of(model))
    try:
        task.settle(model, piece)
        loss, _ = task.loss(model, piece)
    except (IndexError, RuntimeError, ValueError) as error:
        reason = in_one_line(error)
        raise SettingsError(
            f"train.model: {source} cannot take {max_length} tokens ({reason}); lower preprocess.max_length"
        ) from None
    loss.backward()  # type: ignore[no-untyped-call]
    _refuse_a_frozen_output(model, task, source)
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
        parameter.grad = None


def _refuse_a_frozen_output(model: nn.Module, task: Task, source: ModelSource) -> None:
    """An output layer without gradients would stay random, and the training would learn around it without a word."""
    plain = plain_model(model)
    name = output_layer_of(plain, task)
    if name is None:
        return
    if any(parameter.grad is None for parameter in plain.get_submodule(name).parameters(recurse=False)):
        raise SettingsError(
            f"train.model: found that the loss of {source} does not depend on {name}, expected its output layer to "
            "learn; set train.method=full, or take another model"
        )
