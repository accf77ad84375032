"""What a model has to beat on the rows that it is evaluated on: simple answers to the same question."""

from __future__ import annotations

from typing import Any

from torch import nn

from training.baselines.labels import label_baselines, label_set_baselines
from training.baselines.language import language_baselines
from training.baselines.numbers import number_baselines
from training.baselines.retrieval import retrieval_baselines
from training.tasks.interface import Task

__all__ = ["baselines", "best_of"]

_BEST = (  # of each task
    ("tfidf_logistic_regression", "accuracy", "TF-IDF"),
    ("tfidf_one_vs_rest", "macro_f1", "TF-IDF"),
    ("tfidf_ridge", "r2", "TF-IDF"),
    ("tfidf_cosine", "mean_reciprocal_rank", "TF-IDF"),
    ("unigram", "perplexity", "unigram"),
)


def baselines(task: Task, model: nn.Module, shards_directory: str) -> dict[str, dict[str, Any]]:
    """Fit the baselines of a task on the training split and evaluate them on the test split, in this process alone.

    Args:
        task: of the model.
        model: to be compared with; it only says which tokens of a language model are predicted.
        shards_directory: the published shards.

    Returns:
        Figures by the names of the baselines, which are those of the task's own evaluation, and `train_rows`; empty
        where a split has no rows to learn from or to be evaluated on.
    """
    if task.name == "classify":
        return label_baselines(shards_directory, task.labels)
    if task.name == "multilabel":
        return label_set_baselines(shards_directory, task.labels)
    if task.name == "regression":
        return number_baselines(shards_directory)
    if task.name == "embed":
        return retrieval_baselines(shards_directory)
    return language_baselines(task, model, shards_directory)


def best_of(found: dict[str, dict[str, Any]]) -> str:
    """The figure of the strongest baseline for a line, in brackets with a space before; empty where there is none."""
    told = ((what, found[name][figure]) for name, figure, what in _BEST if name in found)
    return "".join(f" ({what} {value:.3f})" for what, value in told if value is not None)
