"""Which task, model and method can be combined; docs/training.md shows it as a table made from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

TaskName = Literal["classify", "multilabel", "regression", "embed", "mlm", "clm"]
MethodName = Literal["full", "lora", "adalora", "ia3", "prefix", "adapter"]
ModelKind = Literal["pretrained", "random", "lstm", "bag_of_words"]

TASKS: tuple[TaskName, ...] = get_args(TaskName)
METHODS: tuple[MethodName, ...] = get_args(MethodName)
OWN_ARCHITECTURES: dict[ModelKind, tuple[TaskName, ...]] = {  # that transformers has not, and what they do
    "lstm": ("classify", "clm"),
    "bag_of_words": ("classify",),
}
MODELS: dict[ModelKind, str] = {
    "pretrained": "a pretrained directory",
    "random": "an architecture of transformers, random weights",
    "lstm": "`lstm`",
    "bag_of_words": "`bag_of_words`",
}


def model_kind(architecture: str | None) -> ModelKind:
    """The kind of a model that starts from a directory (None) or an architecture."""
    if architecture is None:
        return "pretrained"
    return next((kind for kind in OWN_ARCHITECTURES if kind == architecture), "random")


_LANGUAGE_MODELS: tuple[TaskName, ...] = ("mlm", "clm")


def refusal(task: TaskName, model: ModelKind, method: MethodName) -> str | None:
    """Why the three cannot be combined, with what to do instead; None where they can."""
    if task not in OWN_ARCHITECTURES.get(model, TASKS):
        return (
            f"model.architecture: found {model} with task={task}, expected {' or '.join(OWN_ARCHITECTURES[model])}; "
            "name a model type of transformers, such as bert or gpt2"
        )
    if model != "pretrained" and method != "full":
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


def objective_refusal(task: TaskName, names: Sequence[str]) -> str | None:
    """Why settings of `train.objective`, by name, cannot be used with a task; None where they can."""
    if not names or task == "classify":
        return None
    return f"objective.{names[0]}: found it with task={task}, expected task=classify, whose loss it changes; remove it"


def distillation_refusal(task: TaskName, objective_names: Sequence[str]) -> str | None:
    """Why a teacher cannot be had with a task and changed settings of `train.objective`; None where it can."""
    if task != "classify":
        return (
            f"distillation.teacher: found it with task={task}, expected task=classify, whose loss it changes; remove it"
        )
    for name in ("r_drop", "fgm", "mixup"):
        if name in objective_names:
            return (
                f"distillation.teacher: found it with objective.{name}, expected one plain pass, in which teacher and "
                "student read the same; remove one of the two"
            )
    return None


def compression_refusal(model: ModelKind, method: MethodName, names: Sequence[str]) -> str | None:
    """Why settings of `train.compression`, by name, cannot be used with a model and method; None where they can."""
    if not names or (model == "pretrained" and method == "full"):
        return None
    if model != "pretrained":
        return (
            f"compression.{names[0]}: found it with random weights, of which none is better than another, expected a "
            "pretrained model.directory; set its sizes in model.config"
        )
    return (
        f"compression.{names[0]}: found it with method={method}, which would not mend what is left, expected full; set "
        "method=full, or compress in a training of its own before"
    )


def augmentation_refusal(task: TaskName, names: Sequence[str]) -> str | None:
    """Why settings of `train.augmentation`, by name, cannot be used with a task; None where they can."""
    if not names or task not in _LANGUAGE_MODELS:
        return None
    return (
        f"augmentation.{names[0]}: found it with task={task}, which would learn the changed order of words; remove it"
    )
