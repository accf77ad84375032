"""Sums over a split that are bit for bit the same for any number of ranks.

A mean of the ranks' means would weight rows unequally, padding the split to equal sizes would count rows twice, and
floating-point sums depend on their order. Here every row is in exactly one lane and counts once, pieces are cut within
lanes, and a loss becomes an integer before it is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from mapring.errors import StageError
from training.device import HOST, device_of
from training.figures.fixed_point import from_fixed_point, to_fixed_point
from training.label_names import ids_by_name, rename_labels
from training.reader import Batch, ShardReader
from training.ring import Ring, in_step

if TYPE_CHECKING:  # tasks import this module
    from training.tasks.interface import Piece, Task

# Cells of a padded piece. Small pieces of sorted rows waste little on padding: of 1,009 rows of 23 tokens in 16 lanes
# those of 2,048 were 43 % padding, those of 512 21 %, and a core took 9.5 and 6.7 s. A GPU would be idle with so few.
_PIECE_TOKENS = 512
_PIECE_TOKENS_ON_GPU = 2048
NO_EPOCH = 1 << 31  # of random choices in an evaluation, which are always the same
_FRACTION_BITS = 24  # of a piece's loss; int64 holds sums of up to 5e11 nats
# Of a piece: where one target is a typing error, 1e9 for 1, the sum must neither wrap around nor end a training.
MOST_NATS = 2.0**31


def fixed_point(loss: torch.Tensor) -> int:
    """A loss in nats as a whole number of units of 2**-24 nats, at most `MOST_NATS` of them.

    Raises:
        StageError: it is not a number.
    """
    nats = float(loss.double())
    if math.isnan(nats):
        raise StageError(
            "an evaluation: found a loss that is not a number; the weights are none either: lower train.learning_rate, "
            "or set train.precision=fp32"
        )
    return int(to_fixed_point(max(-MOST_NATS, min(MOST_NATS, nats)), _FRACTION_BITS))


def mean_loss(units: int, weight: float) -> float | None:
    """The mean of summed fixed-point losses, None of nothing."""
    return from_fixed_point(units, _FRACTION_BITS) / weight if weight else None


def pieces_of_split(
    task: Task, model: nn.Module, ring: Ring, shards_directory: str, split: str, *, text: bool = False
) -> Iterator[tuple[Batch, Piece]]:
    """All pieces of this rank's lanes of a split, and what they are of; the same for any number of ranks.

    Labels of the shards are those of the task that have the same names. Batches have their texts where `text` asks for
    them. Every rank takes all of its pieces, and may take longer over them than the others; see `in_step`.
    """
    return in_step(ring, _pieces(task, model, ring, shards_directory, split, text=text))


def _pieces(
    task: Task, model: nn.Module, ring: Ring, shards_directory: str, split: str, *, text: bool
) -> Iterator[tuple[Batch, Piece]]:
    reader = ShardReader(shards_directory, split, rank=ring.rank, size=ring.size, text=text)
    label_ids = ids_by_name(reader.manifest.details["labels"], task.labels) if task.labels else None
    model.eval()
    with torch.inference_mode():
        for rows in reader.rows():
            rename_labels(rows, label_ids)
            for piece in task.pieces(rows, model, NO_EPOCH, piece_tokens(model)):
                yield rows, piece.on(device_of(model))


def piece_tokens(model: nn.Module) -> int:
    """Most cells of a padded piece in an evaluation."""
    return _PIECE_TOKENS if device_of(model) == HOST else _PIECE_TOKENS_ON_GPU
