"""Whether a model gives a row beside longer ones what it gives it alone.

A row is trained, evaluated and scored among others, padded to the longest. A model that looks at padding, as those with
convolutions over tokens or without attention do, would answer by the rows beside it, and by none of its golden rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mapring.errors import SettingsError, in_one_line
from mapring.progress import say
from mapring.settings.train import ModelSource
from training.device import device_of
from training.heads import as_evaluated, plain_model
from training.model import config_of
from training.padding import PaddedRows, padded_rows, unlike_padding
from training.tasks import Task

_ALONE = 1e-3  # of outputs in fp32, over their size: rows of other widths are summed in another order
_ANOTHER_PADDING = 1e-6  # of one width they are not: what is masked changes nothing at all, however new the weights
_SHORT, _LONG = 4, 24  # tokens of a row, and of the one beside it: few, for each costs a forward pass


def check_padding(model: nn.Module, task: Task, max_length: int, source: ModelSource) -> None:
    """Compute a made-up row alone, beside a longer one, and there with another embedding of its padding.

    Raises:
        SettingsError: its outputs differ.
    """
    longest = min(_LONG, max_length)
    short = min(_SHORT, longest // 2)
    if not short:
        return
    vocabulary, padding = int(config_of(model).vocab_size), int(config_of(model).pad_token_id)
    ids = unlike_padding(np.arange(longest, dtype=np.int32) % vocabulary, padding, vocabulary)
    (apart,), (beside,) = padded_rows([ids[:short]], padding), padded_rows([ids, ids[:short]], padding)
    try:
        with as_evaluated(model):
            alone, among = (_last(model, task, rows, short) for rows in (apart, beside))
            otherwise = _with_another_padding(model, task, beside, short, padding)
    except (IndexError, RuntimeError, ValueError) as error:  # which says nothing of real rows
        say("train", f"warning: padding could not be tried on made-up rows of {source}: {in_one_line(error)}")
        return
    _refuse(among - alone, _ALONE, alone, source)
    if otherwise is not None:
        _refuse(otherwise - among, _ANOTHER_PADDING, among, source)


def _last(model: nn.Module, task: Task, rows: PaddedRows, length: int) -> torch.Tensor:
    """Outputs of the last row, which has `length` tokens: (C,), or (length, V) of a language model."""
    inputs = {"input_ids": rows.input_ids, "attention_mask": rows.attention_mask}
    output = task.output(model, {name: values.to(device_of(model)) for name, values in inputs.items()})[-1]
    return output[:length] if output.ndim == 2 else output


def _with_another_padding(
    model: nn.Module, task: Task, rows: PaddedRows, length: int, padding: int
) -> torch.Tensor | None:
    """As `_last`, while the padding token is embedded otherwise; None of models whose table is not known."""
    table = getattr(plain_model(model), "get_input_embeddings", lambda: None)()
    weight = getattr(table, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return None
    kept = weight.data[padding].clone()
    chance = torch.Generator().manual_seed(0)
    try:
        weight.data[padding] = torch.randn(kept.shape, generator=chance).to(kept)
        found = _last(model, task, rows, length)
    finally:
        weight.data[padding] = kept
    if found.ndim == 2:  # the output layer may share the table, and has a logit for padding
        found[:, padding] = _last(model, task, rows, length)[:, padding]
    return found


def _refuse(difference: torch.Tensor, tolerance: float, outputs: torch.Tensor, source: ModelSource) -> None:
    size, worst = float(outputs.abs().max()), float(difference.abs().max())
    if worst > tolerance * size:
        raise SettingsError(
            f"train.model: found that padding changes what {source} gives a row (by up to {worst:.2g}, of outputs up "
            f"to {size:.2g}), expected rows beside longer ones to be as alone, for so they are trained and scored; "
            "take an architecture that masks padding, such as bert, roberta or modernbert"
        )
