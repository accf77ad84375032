"""Which task, model and method can be combined; docs/training.md shows it as a table made from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

TaskName = Literal["classify", "multilabel", "regression", "embed", "mlm", "clm"]
MethodName = Literal["full", "lora", "adalora", "ia3", "prefix", "adapter"]
ModelKind = Literal["pretrained", "random", "lstm", "bag_of_words"]
ModeName = Literal["classify", "answer", "multilabel", "regression", "embed", "retrieve", "perplexity", "generate"]

TASKS: tuple[TaskName, ...] = get_args(TaskName)
METHODS: tuple[MethodName, ...] = get_args(MethodName)
MODES: tuple[ModeName, ...] = get_args(ModeName)
MODES_OF_TASK: dict[TaskName, tuple[ModeName, ...]] = {  # what a scoring gives, first what it gives unasked
    "classify": ("classify", "answer"),
    "multilabel": ("multilabel",),
    "regression": ("regression",),
    "embed": ("embed", "retrieve"),
    "mlm": (),
    "clm": ("perplexity", "generate"),
}
FROM_A_BANK: tuple[ModeName, ...] = ("retrieve", "answer")  # modes that need templates
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
            f"model.architecture: found {model} with task={task}, expected {_any_of(OWN_ARCHITECTURES[model])}; "
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


def objective_refusal(task: TaskName, model: ModelKind, names: Sequence[str]) -> str | None:
    """Why settings of `train.objective`, by name, cannot be used with a task and model; None where they can."""
    if "contrast" in names and model in OWN_ARCHITECTURES:
        return f"objective.contrast: found it with {model}, whose tokens have no hidden states of their own; remove it"
    if not names or task == "classify":
        return None
    return f"objective.{names[0]}: found it with task={task}, expected task=classify, whose loss it changes; remove it"


def distillation_refusal(task: TaskName, objective_names: Sequence[str]) -> str | None:
    """Why a teacher cannot be had with a task and changed settings of `train.objective`; None where it can."""
    if task != "classify":
        return (
            f"distillation.teacher: found it with task={task}, expected task=classify, whose loss it changes; remove it"
        )
    for name in ("r_drop", "fgm", "mixup", "contrast"):
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


_WITH_PROBABILITIES: tuple[ModeName, ...] = ("classify", "answer", "multilabel")
_ANSWERED_BY: dict[str, tuple[ModeName, ...]] = {  # settings of `score`, and the modes that know what they are
    "probabilities": _WITH_PROBABILITIES,
    "top_k": _WITH_PROBABILITIES,
    "abstain_below": ("classify", "answer"),
    "explain_share": (*_WITH_PROBABILITIES, "regression"),
    "generation": ("generate",),
    "retrieval": FROM_A_BANK,
    "draft": FROM_A_BANK,
}


def chosen_mode(task: TaskName, mode: ModeName | None) -> ModeName:
    """The mode in which a model of a task answers; `mode` is what was asked for.

    Raises:
        ValueError: a model of this task has no such mode, or none.
    """
    modes = MODES_OF_TASK[task]
    if not modes:
        raise ValueError(
            f"mode: found task={task}, whose models predict hidden tokens and give no likelihood of a text; train a "
            "model with task=clm for perplexities, or with task=embed for vectors"
        )
    if mode is None:
        return modes[0]
    if mode not in modes:
        raise ValueError(f"mode: found {mode} with task={task}, expected {_any_of(modes)}; remove it")
    return mode


def answers_refusal(task: TaskName, mode: ModeName | None, names: Sequence[str]) -> str | None:
    """Why a model of a task cannot be asked for a mode with settings of `score`, by name; None where it can."""
    try:
        chosen = chosen_mode(task, mode)
    except ValueError as error:
        return str(error)
    for name in names:
        known = _ANSWERED_BY.get(name, MODES)
        if name == "generation" and "draft" in names:
            known = (*known, *FROM_A_BANK)
        if chosen not in known:
            return f"{name}: found it with mode {chosen}, expected {_any_of(known)}; remove it"
    if chosen in FROM_A_BANK and "retrieval" not in names:
        return f"retrieval: found none with mode {chosen}, expected a bank of templates; name them in retrieval.bank"
    return None


RANKED_MODES: tuple[ModeName, ...] = (*_WITH_PROBABILITIES, "regression", "retrieve")


def ranker_refusal(mode: ModeName, label: str | None) -> str | None:
    """Why a ranker cannot combine what a model gives in a mode, or compare it by a label; None where it can."""
    if mode not in RANKED_MODES:
        return f"ranker: found it with mode {mode}, whose answers are no scores, expected {_any_of(RANKED_MODES)}"
    if label is not None and mode not in _WITH_PROBABILITIES:
        return f"ranker.label: found {label!r} with mode {mode}, which has no probabilities of labels; remove it"
    return None


def scoring_refusal(
    task: TaskName, model: ModelKind, method: MethodName, mode: ModeName | None, has_pairs: bool
) -> str | None:
    """Why a model that a training gives cannot answer in a mode of its task; None where it can."""
    if task == "clm" and method == "adapter":
        return (
            "mode: found train.task=clm with train.method=adapter, whose models neither transformers nor ONNX Runtime "
            "loads; set train.method=lora, or remove score"
        )
    if mode == "answer" and has_pairs:
        return (
            "mode: found answer with preprocess.inputs.0.second_text_column, but templates are single texts; remove "
            "one of the two"
        )
    if mode == "generate" and model == "lstm":
        return (
            "mode: found generate with train.model.architecture=lstm, whose graph keeps no state between tokens; take "
            "an architecture of transformers, or mode perplexity"
        )
    if mode == "generate" and has_pairs:
        return (
            "mode: found generate with preprocess.inputs.0.second_text_column, but a text is continued and not a pair; "
            "remove one of the two"
        )
    return None


def _any_of(names: Sequence[str]) -> str:
    """One of several names in words: a, b or c."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
