"""A pretrained model with fewer layers, or with fewer feed-forward units in each.

The smaller model is the architecture's own, of the smaller sizes, with what is kept of the weights: so it is what
stock `from_pretrained` makes of the published directory, and its `config.json` tells the sizes.

- Layers are dropped evenly (Fan et al. 2019, "every other"; Sanh et al. 2019 start DistilBERT so).
- Units are dropped by their weights: one of which the weights that lead to it or from it are small adds little
  (structured magnitude pruning, as in Li et al. 2017 for filters).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mapring.errors import SettingsError, in_one_line
from mapring.settings.compression import Compression
from training.blocks import blocks_of
from training.compression.feed_forward import feed_forward_of, kept_units, without_units
from training.model import config_of

_Weights = dict[str, torch.Tensor]


def compressed(model: nn.Module, settings: Compression) -> nn.Module:
    """The model with the layers and units that are kept; itself where all are. torch's random state stays as it is.

    Raises:
        SettingsError: the model has fewer layers, or is made in a way that is not known here.
    """
    if settings.keep_layers is None and settings.keep_units == 1:
        return model
    config = copy.deepcopy(config_of(model))
    state = dict(model.state_dict())
    stack = _stack_name(model)
    if settings.keep_layers is not None:
        layers = evenly_spaced(_count_layers(model, settings.keep_layers), settings.keep_layers)
        state = _renumbered(state, stack, layers)
        _set_layers(config, layers)
    else:
        layers = list(range(len(blocks_of(model))))
    if settings.keep_units < 1:
        for place, layer in enumerate(layers):
            part = feed_forward_of(blocks_of(model)[layer], config_of(model))
            units = kept_units(part, settings.keep_units)
            without_units(state, f"{stack}.{place}.", part, units)
            setattr(config, part.size_key, len(units))
    return _built(model, config, state)


def evenly_spaced(count: int, kept: int) -> list[int]:
    """Which of `count` layers are kept: the first, the last, and evenly between them; of one, the first."""
    if kept == 1:
        return [0]
    return [(2 * place * (count - 1) + kept - 1) // (2 * (kept - 1)) for place in range(kept)]  # rounded, halves up


def _count_layers(model: nn.Module, wanted: int) -> int:
    config, count = config_of(model), len(blocks_of(model))
    told = getattr(config, "num_hidden_layers", None)
    if told != count or getattr(config, "is_encoder_decoder", False):
        raise SettingsError(
            f"train.compression.keep_layers: in {config.model_type} found a stack of {count} blocks and a "
            f"configuration that tells of {told} layers, expected one stack of as many; remove it"
        )
    if wanted > count:
        raise SettingsError(
            f"train.compression.keep_layers: found {wanted}, but the model has {count} layers; give at most that many"
        )
    return count


def _stack_name(model: nn.Module) -> str:
    stack = blocks_of(model)
    names: Iterator[str] = (name for name, module in model.named_modules() if module is stack)
    return next(names)


def _renumbered(state: Mapping[str, torch.Tensor], stack: str, layers: Sequence[int]) -> _Weights:
    """The weights of the kept layers under their new numbers, and all that belongs to no layer."""
    places = {layer: place for place, layer in enumerate(layers)}
    found: _Weights = {}
    for name, tensor in state.items():
        if not name.startswith(f"{stack}."):
            found[name] = tensor
            continue
        number, _, rest = name.removeprefix(f"{stack}.").partition(".")
        if int(number) in places:
            found[f"{stack}.{places[int(number)]}.{rest}"] = tensor
    return found


def _set_layers(config: Any, layers: Sequence[int]) -> None:
    """Tell a configuration how many layers there are, and of those that differ which kinds."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        config.layer_types = [kinds[layer] for layer in layers]
    config.num_hidden_layers = len(layers)


def _built(model: nn.Module, config: Any, state: _Weights) -> nn.Module:
    """The architecture of `model` in the sizes of `config`, with these weights."""
    try:
        with torch.random.fork_rng(devices=[]):
            smaller: nn.Module = type(model)(config)
        smaller.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = in_one_line(error)
        raise SettingsError(
            f"train.compression: found {config.model_type}, whose layers cannot be made smaller ({reason}), expected "
            "one like BERT, RoBERTa, DistilBERT, GPT-2 or Llama; remove it"
        ) from None
    return smaller
