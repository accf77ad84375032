"""How figures of an evaluation are named for people, in the order in which they are shown, and what is better."""

from __future__ import annotations

FIGURE_NAMES = {
    "accuracy": "accuracy",
    "subset_accuracy": "subset accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "ndcg_at_10": "NDCG@10",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R2",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "mean_reciprocal_rank": "MRR",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "loss": "loss",
    "perplexity": "perplexity",
}

LESS_IS_BETTER = ("loss", "perplexity", "bits_per_byte", "mse", "mae")
MORE_IS_BETTER = (
    "accuracy",
    "subset_accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "roc_auc",
    "average_precision",
    "ndcg_at_10",
    "r2",
    "pearson",
    "spearman",
    "mean_reciprocal_rank",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
)
