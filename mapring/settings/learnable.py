"""Whether a task can learn from what preprocessing is told to make: known from the settings, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping

from mapring.errors import SettingsError
from mapring.settings.schema import Settings

LABEL_KINDS: Mapping[str, str] = {"classify": "one", "multilabel": "several", "regression": "number"}


def check_learnable(config: str, settings: Settings) -> None:
    """Hold the task of the training against the inputs and labels of the corpus.

    A pipeline that only preprocesses may leave `train` as it is, so this is asked where a training is to come.

    Raises:
        SettingsError: shards of these settings are nothing that the task learns from.
    """
    problem = _problem(settings)
    if problem is not None:
        raise SettingsError(f"{config}: {problem}")


def _problem(settings: Settings) -> str | None:
    task, corpus = settings.train.task, settings.preprocess
    has_labels = any(source.label_column is not None for source in corpus.inputs)
    if task == "embed":
        if not corpus.has_pairs:
            return (
                "train.task: found embed with single texts, expected pairs that belong together; set "
                "second_text_column of preprocess.inputs, or another task"
            )
        if has_labels:
            return (
                "train.task: found embed with labelled pairs, which looks at no label and draws all of them together; "
                "set train.task=classify, or remove label_column and the pairs that do not belong together"
            )
    if task not in LABEL_KINDS:
        return None
    if not has_labels:
        return (
            f"train.task: found {task}, but no label_column in preprocess.inputs; name the column with the labels, or "
            "set train.task=mlm or clm"
        )
    if corpus.labels != LABEL_KINDS[task]:
        other = next(name for name, kind in LABEL_KINDS.items() if kind == corpus.labels)
        return (
            f"preprocess.labels: found {corpus.labels}, expected {LABEL_KINDS[task]} for train.task={task}; set it so, "
            f"or train.task={other}"
        )
    return None
