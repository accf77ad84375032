"""Which task, model and method can be combined; docs/training.md shows it as a table made from here."""

from __future__ import annotations

from typing import Literal, get_args

TaskName = Literal["classify", "multilabel", "regression", "embed", "mlm", "clm"]
MethodName = Literal["full", "lora", "adalora", "ia3", "prefix", "adapter"]
ModelKind = Literal["pretrained", "random"]

TASKS: tuple[TaskName, ...] = get_args(TaskName)
METHODS: tuple[MethodName, ...] = get_args(MethodName)
MODELS: dict[ModelKind, str] = {"pretrained": "a pretrained directory", "random": "an architecture, random weights"}


def refusal(task: TaskName, model: ModelKind, method: MethodName) -> str | None:
    """Why the three cannot be combined, with what to do instead; None where they can."""
    if model == "random" and method != "full":
        return (
            f"method: found {method} with random weights, which it would leave random; set method=full, or give a "
            "pretrained model.directory"
        )
    if method == "prefix" and task == "embed":
        return "method: found prefix with task=embed, whose mean over tokens has no place for it; set method=lora"
    if method == "prefix" and task in ("mlm", "clm"):
        return (
            f"method: found prefix with task={task}, where every document of a sequence would need its own prefix; "
            "set method=lora"
        )
    return None
