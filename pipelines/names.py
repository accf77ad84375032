"""How the pipeline's results are named for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
FIGURES = {
    "accuracy": "accuracy",
    "subset_accuracy": "subset accuracy",
    "macro_f1": "macro-F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "ndcg_at_10": "NDCG@10",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "R2",
    "pearson": "Pearson's correlation",
    "spearman": "Spearman's correlation",
    "mean_reciprocal_rank": "mean reciprocal rank",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "perplexity": "perplexity",
}


def figures_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that a line or a table shows, by their names for people."""
    return {name: metrics[key] for key, name in FIGURES.items() if metrics.get(key) is not None}


def told_figures(metrics: Mapping[str, Any]) -> str:
    """These figures in words."""
    return ", ".join(f"{name} {value:.4f}" for name, value in figures_of(metrics).items()) or "nothing to evaluate"
