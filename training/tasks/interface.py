"""What the trainer asks of a task, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from training.batches import Integers
from training.first_token import choose_first_token
from training.reader import Batch
from training.ring import Ring
from training.unpadded import choose_unpadded

OnOutput = Callable[[torch.Tensor], None]


def ignore(_output: torch.Tensor) -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a batch as tensors, padded to one width.

    `rows` are their numbers in the batch, shape (B,); `inputs` are the model's keyword arguments, with `input_ids` of
    shape (B, T), or (2 B, T) where the two texts of a pair are looked at apart; `targets` what the task compares the
    model's outputs with; `tokens` the cells of `input_ids` that are no padding.
    """

    rows: Integers
    inputs: Mapping[str, torch.Tensor]
    targets: Mapping[str, torch.Tensor]
    tokens: int

    @property
    def cells(self) -> int:
        """Of `input_ids`, padding included."""
        return self.inputs["input_ids"].numel()

    def on(self, device: torch.device) -> Piece:
        """The piece with its tensors on a device; a GPU copies them from pinned memory, while the host goes on."""
        if device.type == "cpu":
            return self
        return replace(self, inputs=_moved(self.inputs, device), targets=_moved(self.targets, device))


def _moved(tensors: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    is_gpu = device.type == "cuda"
    return {
        name: (tensor.pin_memory() if is_gpu else tensor).to(device, non_blocking=is_gpu)
        for name, tensor in tensors.items()
    }


class LogitsOfRows:
    """What tasks share whose models read a whole row and give logits, which are published as they are."""

    output_name = "logits"
    texts_apart = False

    def prepare(self, model: nn.Module) -> None:
        """Nothing to change."""

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Nothing to choose."""

    def finish(self, model: nn.Module) -> None:
        """Nothing to change back."""

    def output(self, model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits (B, C), or (B, T, V) of a language model."""
        logits: torch.Tensor = model(**inputs).logits
        return logits


class LogitsOfLabels(LogitsOfRows):
    """What tasks share besides whose logits are those of labels."""

    labels: list[str]
    problem_type: str  # as transformers calls it
    auto_class = "AutoModelForSequenceClassification"
    exports_onnx = True

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Choose whether rows are computed without padding, and the last block for the first token only."""
        choose_unpadded(model, piece.inputs)
        choose_first_token(model, piece.inputs)

    def model_settings(self) -> dict[str, Any]:
        """Names and number of the labels."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: number for number, name in enumerate(self.labels)},
            "problem_type": self.problem_type,
        }


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

    @property
    def output_name(self) -> str:
        """Name of what `output` gives, in the ONNX graph and in golden rows."""

    @property
    def texts_apart(self) -> bool:
        """Whether the model is given the two texts of a pair one at a time."""

    def model_settings(self) -> dict[str, Any]:
        """What the model's configuration is told of the task."""

    def prepare(self, model: nn.Module) -> None:
        """Change a model that was just built to what is trained, before a method is brought into it."""

    def finish(self, model: nn.Module) -> None:
        """Change a trained model back to what stock transformers knows, with the same outputs."""

    def output(self, model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the published ONNX graph gives for these inputs, and golden rows hold; (B, ...)."""

    def pieces(self, batch: Batch, model: nn.Module, epoch: int, max_tokens: int, /) -> Iterator[Piece]:
        """The rows of a batch in pieces of at most `max_tokens` cells; random choices depend on seed, epoch and row."""

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Called once before the training, with a piece to try the model with."""

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Sum of the losses of a piece, and its weight."""

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Made-up rows of this shape, to try a model with before real ones come."""

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        temperature: float | None = None,
        on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """Figures of a model in fp32 on a split, bit for bit the same on any number of ranks.

        At least `rows` and `loss` (mean, None without rows that count). A classifier also tells what its probabilities
        are worth at a `temperature`, or at that which fits these rows best. `on_output` is told what `output` gives for
        each piece of `pieces_of_split`, in their order and on the CPU; a language model's evaluation never computes
        that, and tells nothing.
        """
