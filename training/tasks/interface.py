"""What the trainer asks of a task, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from training.batches import Integers
from training.reader import Batch
from training.ring import Ring


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a batch as tensors, padded to one width.

    `rows` are their numbers in the batch, shape (B,); `inputs` the model's keyword arguments, with `input_ids` of shape
    (B, T); `targets` what the task compares the model's outputs with; `tokens` the cells of (B, T) that are no padding.
    """

    rows: Integers
    inputs: Mapping[str, torch.Tensor]
    targets: Mapping[str, torch.Tensor]
    tokens: int

    @property
    def cells(self) -> int:
        """B x T."""
        return self.inputs["input_ids"].numel()


class Task(Protocol):
    """What a row is, what a model is to learn from it, and how good it is at that.

    A loss is a sum, returned beside its weight: what it is a sum over, such as rows or tokens. Sums of losses and of
    weights over all ranks give the mean, however the rows are divided.
    """

    @property
    def name(self) -> str:
        """As train.task has it."""

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of their ids; none of a language model."""

    @property
    def auto_class(self) -> str:
        """The class of transformers that loads such a model."""

    @property
    def exports_onnx(self) -> bool:
        """Whether such a model is also published as an ONNX graph."""

    def model_settings(self) -> dict[str, Any]:
        """What the model's configuration is told of the task."""

    def pieces(self, batch: Batch, model: nn.Module, epoch: int, max_tokens: int, /) -> Iterator[Piece]:
        """The rows of a batch in pieces of at most `max_tokens` cells; random choices depend on seed, epoch and row."""

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Called once before the training, with a piece to try the model with."""

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Sum of the losses of a piece, and its weight."""

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Made-up rows of this shape, to try a model with before real ones come."""

    def evaluate(
        self, model: nn.Module, ring: Ring, shards_directory: str, split: str, temperature: float | None = None
    ) -> dict[str, Any]:
        """Figures of a model in fp32 on a split, bit for bit the same on any number of ranks.

        At least `rows` and `loss` (mean, None without rows that count). A classifier also tells what its probabilities
        are worth at a `temperature`, or at that which fits these rows best.
        """
