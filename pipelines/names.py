"""How the pipeline's results are named for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASELINES = {"tfidf_logistic_regression": "TF-IDF + logistic regression", "majority": "majority class"}
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "perplexity": "perplexity"}


def figures_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that a line or a table shows, by their names for people."""
    return {name: metrics[key] for key, name in FIGURES.items() if metrics.get(key) is not None}


def told_figures(metrics: Mapping[str, Any]) -> str:
    """These figures in words."""
    return ", ".join(f"{name} {value:.4f}" for name, value in figures_of(metrics).items()) or "nothing to evaluate"
