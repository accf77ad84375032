"""What a model has to beat: always the most frequent label, and word counts with a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from training.batches import Integers
from training.figures.classification import figures
from training.reader import NO_LABEL, ShardReader

MAX_TRAIN_ROWS = 100_000  # word counts gain little beyond; keeps it to seconds and a few hundred MB


def baselines(shards_directory: str, labels: Sequence[str]) -> dict[str, Any]:
    """Fit both baselines on the training split and evaluate them on the test split, in this process alone.

    Returns:
        `majority` and `tfidf_logistic_regression` with the figures of `training.figures.classification.figures`;
        empty where either split has no labelled rows or the training split has one label only.
    """
    train_texts, train_labels = _labelled(shards_directory, "train", MAX_TRAIN_ROWS)
    test_texts, test_labels = _labelled(shards_directory, "test", None)
    if not test_texts or len(np.unique(train_labels)) < 2:
        return {}
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(vectorizer.fit_transform(train_texts), train_labels)
    predicted = classifier.predict(vectorizer.transform(test_texts))
    majority = np.full_like(test_labels, np.bincount(train_labels).argmax())
    return {
        name: {"train_rows": len(train_texts), **figures(_confusion(test_labels, answer, len(labels)), labels)}
        for name, answer in (("majority", majority), ("tfidf_logistic_regression", predicted))
    }


def _labelled(shards_directory: str, split: str, most: int | None) -> tuple[list[str], Integers]:
    """Texts and labels of a split; the first `most` rows, which are random ones."""
    texts: list[str] = []
    labels: list[int] = []
    reader = ShardReader(shards_directory, split, text=True)
    rows = (
        (text, int(label)) for batch in reader.rows() for text, label in zip(batch.texts, batch.label_ids, strict=True)
    )
    for text, label in islice((row for row in rows if row[1] != NO_LABEL), most):
        texts.append(text)
        labels.append(label)
    return texts, np.array(labels, np.int64)


def _confusion(true: Integers, predicted: Integers, count: int) -> Integers:
    return np.bincount(true * count + predicted, minlength=count * count).reshape(count, count)
