"""The head of a model, which every method trains whole: its output layer, and what starts from random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from training.heads import plain_model

if TYPE_CHECKING:
    from training.tasks.interface import Task


def output_layer(model: nn.Module, outputs: int) -> str | None:
    """The name of the last linear layer with so many outputs; None where there is none."""
    names = [
        name for name, item in model.named_modules() if isinstance(item, nn.Linear) and item.out_features == outputs
    ]
    return str(names[-1]) if names else None


def output_layer_of(model: nn.Module, task: Task) -> str | None:
    """The name of the layer that gives a task's labels or number; None of tasks that have neither."""
    if task.auto_class != "AutoModelForSequenceClassification":
        return None
    return output_layer(model, len(task.labels) or 1)


def head_of(model: nn.Module, task: Task, fresh: Sequence[str]) -> tuple[str, ...]:
    """Names of the modules whose own weights every method trains, whether they are new or a training goes on.

    Args:
        model: as it is for the task, without a method in it.
        task: what the model is for.
        fresh: names of the modules that the pretrained model did not bring.
    """
    layer = output_layer_of(model, task)
    return tuple(sorted({*fresh, *([] if layer is None else [layer])}))


def head_parameters(model: nn.Module, head: Sequence[str]) -> dict[str, nn.Parameter]:
    """The weights of the head by the names that they have in the model without a method, shared ones once.

    A module's own weights only: its children are named themselves where they belong to the head. Of a language model's
    output layer that shares the token embeddings, these are no part of the head: they were pretrained.

    Args:
        model: with or without what a method has added.
        head: see `head_of`.
    """
    plain = plain_model(model)
    embeddings = getattr(plain.get_input_embeddings(), "weight", None)  # type: ignore[operator]
    found = {}
    for name, parameter in plain.named_parameters():
        own = name.replace(".modules_to_save.default.", ".")  # the copy that peft trains of what it wraps
        if own.rpartition(".")[0] in head and parameter is not embeddings:
            found[own] = parameter
    return found
