"""Baselines of regression: always the mean, and word counts with a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.baselines.texts import can_be_weighed, labelled_texts, word_weights
from training.figures.regression import regression_figures


def number_baselines(shards_directory: str) -> dict[str, Any]:
    """`mean`, that of the training targets, and `tfidf_ridge`, a ridge regression (Hoerl and Kennard 1970).

    Returns:
        Figures of `regression_figures` in the unit of the targets; empty where either split has no labelled rows.
    """
    train_texts, train, _ = labelled_texts(shards_directory, "train", lambda batch, row: float(batch.targets[row]))
    test_texts, test, doc_ids = labelled_texts(shards_directory, "test", lambda batch, row: float(batch.targets[row]))
    if not train_texts or not test_texts:
        return {}
    from sklearn.linear_model import Ridge

    mean, deviation = float(np.mean(train)), float(np.std(train)) or 1.0
    answers = {"mean": np.full(len(test), mean)}
    if can_be_weighed(train_texts):
        vectorizer, model = word_weights(), Ridge()
        model.fit(vectorizer.fit_transform(train_texts), (np.array(train) - mean) / deviation)
        answers["tfidf_ridge"] = model.predict(vectorizer.transform(test_texts)) * deviation + mean
    return {
        name: {"train_rows": len(train), **regression_figures(doc_ids, answer, test)}
        for name, answer in answers.items()
    }
