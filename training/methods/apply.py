"""Bring a method into a model before the training, and out of it again behind it."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mapring.errors import SettingsError, in_one_line
from mapring.settings.base import output_settings
from mapring.settings.train import Method, Train
from training.blocks import blocks_of
from training.heads import plain_model
from training.methods.adapter import adapter_tensors, add_adapters
from training.output_layer import head_parameters
from training.own_architectures import described, is_own


def apply_method(model: nn.Module, method: Method, *, head: Sequence[str], total_steps: int) -> nn.Module:
    """The model with the method in it: what is not to be trained is frozen.

    Args:
        model: as loaded.
        method: its settings.
        head: names of the modules whose weights are trained whole with every method; see `output_layer.head_of`.
        total_steps: of the training, over which adalora distributes its ranks.

    Raises:
        SettingsError: the method does not know such a model.
    """
    if method.name == "full":
        _freeze_blocks(model, method.frozen_layers)
        return model
    if method.name == "adapter":
        return add_adapters(model, method.adapter_width, head)
    return _with_peft(model, method, head, total_steps)


def finished_model(model: nn.Module) -> nn.Module:
    """The model as it is used: with lora, adalora and ia3 merged into its own weights."""
    merge = getattr(model, "merge_and_unload", None)
    if merge is None or _is_prefix(model):
        return model
    merged: nn.Module = merge()
    return merged


def is_stock(model: nn.Module) -> bool:
    """Whether stock transformers can load a finished model whole."""
    return not _is_prefix(model) and not hasattr(model, "mapring_adapters") and not is_own(model)


def save_parts(model: nn.Module, settings: Train, head: Sequence[str], folder: Path) -> None:
    """Write what stock transformers cannot load: one of our own architectures whole, or what a method has added.

    That is `adapter.safetensors`, and `adapter.json` of how, without the base; prefixes are in peft's own format, with
    the whole head among them.
    """
    if is_own(model):
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}  # tied ones once
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(described(model), indent=2) + "\n")
        return
    if _is_prefix(model):
        model.save_pretrained(folder)  # type: ignore[operator]
        _add_head(model, head, folder / "adapter_model.safetensors")
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_tensors(model, head), folder / "adapter.safetensors")
    parts = {"base": str(settings.model), "method": output_settings(settings.method), "head": list(head)}
    (folder / "adapter.json").write_text(json.dumps(parts, indent=2) + "\n")


def state_of_method(model: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors besides parameters and buffers on which the next steps depend; the tensors themselves."""
    allocation = getattr(model, "mapring_allocation", None)
    return {} if allocation is None else allocation.tensors()


def _freeze_blocks(model: nn.Module, count: int) -> None:
    if not count:
        return
    found = blocks_of(model)
    if count > len(found):
        raise SettingsError(
            f"train.method.frozen_layers: found {count}, but the model has {len(found)} layers; give at most that many"
        )
    for block in found[:count]:
        block.requires_grad_(False)


def _add_head(model: nn.Module, head: Sequence[str], file: Path) -> None:
    """Bring into a file of prefixes what of the head peft does not save: it knows layers by a few names alone."""
    saved = load_file(file)
    own = {f"base_model.{name}": parameter.detach() for name, parameter in head_parameters(model, head).items()}
    save_file({**own, **saved}, file, {"format": "pt"})


def _with_peft(model: nn.Module, method: Method, head: Sequence[str], total_steps: int) -> nn.Module:
    import peft

    from training.methods.allocation import Allocation

    # Without a task_type, for which peft would wrap what it takes for the head: modules called classifier or score.
    common: dict[str, Any] = {"exclude_modules": "|".join(map(re.escape, head)) or None}
    matrices = {**common, "lora_alpha": method.alpha, "lora_dropout": method.dropout, "target_modules": "all-linear"}
    if method.name == "lora":
        settings: Any = peft.LoraConfig(r=method.rank, **matrices)
    elif method.name == "adalora":
        settings = peft.AdaLoraConfig(
            target_r=method.rank,
            init_r=round(1.5 * method.rank),  # as Zhang et al. 2023, section 4, start
            tinit=total_steps // 10,
            tfinal=total_steps // 3,
            deltaT=max(1, total_steps // 100),
            total_step=total_steps,
            **matrices,
        )
    elif method.name == "ia3":
        settings = peft.IA3Config(**common)
    else:
        if not _takes_prefixes(model):
            raise SettingsError(
                f"train.method: prefix adds keys and values to each layer, and {type(model).__name__} takes none; "
                "choose lora, or another method"
            )
        settings = peft.PrefixTuningConfig(num_virtual_tokens=method.prefix_tokens, task_type="SEQ_CLS")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints on its own settings
            adapted: nn.Module = peft.get_peft_model(model, settings)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        reason = in_one_line(error)
        raise SettingsError(
            f"train.method: {method.name} cannot be added to this model ({reason}); choose another method"
        ) from None
    if method.name == "prefix":
        plain_model(adapted).requires_grad_(False)  # also what peft has wrapped beside the head
    for parameter in head_parameters(adapted, head).values():
        parameter.requires_grad_(True)
    if method.name == "adalora":
        object.__setattr__(adapted, "mapring_allocation", Allocation(adapted))
    return adapted


def _takes_prefixes(model: nn.Module) -> bool:
    """Whether a pass may be given keys and values; those of MPNet, DeBERTa-v2, DistilBERT and ModernBERT may not."""
    parts = (model, getattr(model, str(getattr(model, "base_model_prefix", "")), model))
    return any("past_key_values" in inspect.signature(part.forward).parameters for part in parts)


def _is_prefix(model: nn.Module) -> bool:
    config = getattr(model, "peft_config", None)
    return isinstance(config, dict) and any(getattr(item, "is_prompt_learning", False) for item in config.values())
