"""How the pipeline's results are named for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapring.figure_names import FIGURE_NAMES

BASELINES = {
    "tfidf_logistic_regression": "TF-IDF + logistic regression",
    "majority": "majority class",
    "tfidf_one_vs_rest": "TF-IDF + logistic regression of each label",
    "most_frequent_set": "most frequent set of labels",
    "tfidf_ridge": "TF-IDF + ridge regression",
    "mean": "mean target",
    "tfidf_cosine": "TF-IDF cosine",
    "unigram": "frequencies of tokens",
}
_NOT_SHOWN = ("micro_f1", "loss")  # of one label a document the former is the accuracy; the latter is in the curves


def figures_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that a line or a table shows, by their names for people."""
    return {
        name: metrics[key]
        for key, name in FIGURE_NAMES.items()
        if key not in _NOT_SHOWN and metrics.get(key) is not None
    }


def told_figures(metrics: Mapping[str, Any]) -> str:
    """These figures in words."""
    return ", ".join(f"{name} {value:.4f}" for name, value in figures_of(metrics).items()) or "nothing to evaluate"
