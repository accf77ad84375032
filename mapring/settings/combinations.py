"""Which task, model and method can be combined; docs/training.md shows it as a table made from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

TaskName = Literal["classify", "mlm", "clm"]
MethodName = Literal["full", "lora", "adalora", "ia3", "prefix", "adapter"]
ModelKind = Literal["pretrained", "random"]

TASKS: tuple[TaskName, ...] = get_args(TaskName)
METHODS: tuple[MethodName, ...] = get_args(MethodName)
MODELS: dict[ModelKind, str] = {"pretrained": "a pretrained directory", "random": "an architecture, random weights"}


_LANGUAGE_MODELS: tuple[TaskName, ...] = ("mlm", "clm")


def refusal(task: TaskName, model: ModelKind, method: MethodName) -> str | None:
    """Why the three cannot be combined, with what to do instead; None where they can."""
    if model == "random" and method != "full":
        return (
            f"method: found {method} with random weights, which it would leave random; set method=full, or give a "
            "pretrained model.directory"
        )
    if method == "prefix" and task != "classify":
        return (
            f"method: found prefix with task={task}, where every document of a sequence would need its own prefix; "
            "set method=lora"
        )
    return None


def objective_refusal(task: TaskName, names: Sequence[str]) -> str | None:
    """Why settings of `train.objective`, by name, cannot be used with a task; None where they can."""
    if not names or task == "classify":
        return None
    return f"objective.{names[0]}: found it with task={task}, expected task=classify, whose loss it changes; remove it"


def augmentation_refusal(task: TaskName, names: Sequence[str]) -> str | None:
    """Why settings of `train.augmentation`, by name, cannot be used with a task; None where they can."""
    if not names or task not in _LANGUAGE_MODELS:
        return None
    return (
        f"augmentation.{names[0]}: found it with task={task}, which would learn the changed order of words; remove it"
    )
