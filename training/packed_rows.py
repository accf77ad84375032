"""Whether a model gives documents that are packed into one row what it gives each of them alone.

A packed training hands over positions and an attention mask of its own. A model that attends within windows, or adds
distances to the attention, would be trained by other rules than it is used by afterwards.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mapring.errors import SettingsError, in_one_line
from mapring.settings.train import ModelSource
from training.device import device_of
from training.model import config_of
from training.padding import unlike_padding
from training.reader import Batch
from training.tasks import Task

_TOLERANCE = 1e-3  # of logits in fp32, over their size; windows make differences of the size of the logits


def check_packed_rows(model: nn.Module, task: Task, max_length: int, source: ModelSource) -> None:
    """Compute one document of `max_length` tokens, and two of half as many, packed and apart.

    Raises:
        SettingsError: the logits differ, or the model takes no packed rows.
    """
    was_training = model.training
    model.eval()
    half = max_length // 2
    try:
        with torch.inference_mode():
            whole = _logits(model, task, [max_length], packed=False)
            apart = _logits(model, task, [half, max_length - half], packed=False)
            found = [
                _logits(model, task, lengths, packed=True) for lengths in ([max_length], [half, max_length - half])
            ]
    except (IndexError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"train.model: {source} takes no packed rows ({in_one_line(error)}); set preprocess.packing=none"
        ) from None
    finally:
        model.train(was_training)
    size = max(1.0, float(whole.abs().max()))
    worst = max(float((one - other).abs().max()) for one, other in zip(found, (whole, apart), strict=True))
    if worst > _TOLERANCE * size:
        raise SettingsError(
            f"train.model: {source} gives packed documents other logits than those alone (by up to {worst:.2g}, of "
            f"logits up to {size:.2g}), as models do that attend within windows or by distances; set "
            "preprocess.packing=none, or a preprocess.max_length within the window"
        )


def _logits(model: nn.Module, task: Task, lengths: list[int], *, packed: bool) -> torch.Tensor:
    """Of made-up documents (T, V), one behind the other, in one row or in a row each."""
    vocabulary, padding = int(config_of(model).vocab_size), config_of(model).pad_token_id
    ids = unlike_padding(np.arange(sum(lengths), dtype=np.int32) % vocabulary, padding, vocabulary)
    begins = np.cumsum([0, *lengths[:-1]]).astype(np.int32)
    rows = [ids] if packed else np.split(ids, begins[1:])
    found = [torch.zeros(0)] * len(rows)
    batch = Batch(
        doc_ids=[str(number) for number in range(len(rows))],
        input_ids=rows,
        label_ids=np.zeros(len(rows), np.int64),
        global_rows=len(rows),
        texts=[],
        starts=[begins] if packed else [],
    )
    for piece in task.pieces(batch, model, 0, 1):  # a row each, whose ids are not masked here
        (row,) = piece.rows.tolist()
        piece = piece.on(device_of(model))
        given = torch.from_numpy(rows[row][None].astype(np.int64)).to(device_of(model))
        found[row] = model(**{**piece.inputs, "input_ids": given}).logits[0].float()
    return torch.cat(found)
