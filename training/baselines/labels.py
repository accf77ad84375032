"""Baselines of classifiers: the most frequent answer, and word counts with linear classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.progress import say
from training.baselines.texts import can_be_weighed, labelled_texts, word_weights
from training.batches import Integers
from training.figures.classification import figures, multilabel_counts, multilabel_figures

MOST_LABELS = 200  # with a classifier each; 100,000 texts take about a second for each
Booleans = npt.NDArray[np.bool_]


def label_baselines(shards_directory: str, labels: Sequence[str]) -> dict[str, Any]:
    """`majority`, always the most frequent label, and `tfidf_logistic_regression`, of rows with one label.

    Returns:
        Figures of `training.figures.classification.figures`; empty where either split has no labelled rows or the
        training split has one label only.
    """
    train_texts, train, _ = labelled_texts(shards_directory, "train", lambda batch, row: int(batch.label_ids[row]))
    test_texts, test, _ = labelled_texts(shards_directory, "test", lambda batch, row: int(batch.label_ids[row]))
    if not test_texts or len(set(train)) < 2:
        return {}
    answers = {"majority": np.full(len(test), np.bincount(train).argmax())}
    if can_be_weighed(train_texts):
        vectorizer = word_weights()
        classifier = _classifier().fit(vectorizer.fit_transform(train_texts), train)
        answers["tfidf_logistic_regression"] = classifier.predict(vectorizer.transform(test_texts))
    return {
        name: {"train_rows": len(train), **figures(_confusion(np.array(test), answer, len(labels)), labels)}
        for name, answer in answers.items()
    }


def label_set_baselines(shards_directory: str, labels: Sequence[str]) -> dict[str, Any]:
    """`most_frequent_set`, and `tfidf_one_vs_rest`, a logistic regression for each label, of rows with several labels.

    The second is left out, and that is said, where there are more than MOST_LABELS labels.

    Returns:
        Figures of `multilabel_figures`; empty where either split has no labelled rows.
    """
    train_texts, train_sets, _ = labelled_texts(shards_directory, "train", lambda batch, row: batch.label_sets[row])
    test_texts, test_sets, _ = labelled_texts(shards_directory, "test", lambda batch, row: batch.label_sets[row])
    if not train_texts or not test_texts:
        return {}
    train, test = _indicators(train_sets, len(labels)), _indicators(test_sets, len(labels))
    sets, counts = np.unique(train, axis=0, return_counts=True)
    answers = {"most_frequent_set": np.broadcast_to(sets[counts.argmax()], test.shape)}
    if len(labels) > MOST_LABELS:
        say("train", f"no TF-IDF baseline: found {len(labels)} labels, which is done for up to {MOST_LABELS}")
    elif can_be_weighed(train_texts):
        vectorizer = word_weights()
        known, asked = vectorizer.fit_transform(train_texts), vectorizer.transform(test_texts)
        answers["tfidf_one_vs_rest"] = np.stack([_answers(known, column, asked) for column in train.T], axis=1)
    return {
        name: {"train_rows": len(train), **multilabel_figures(multilabel_counts(test, answer), labels)}
        for name, answer in answers.items()
    }


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _answers(known: Any, has_label: Booleans, asked: Any) -> Booleans:
    """Whether each asked row has a label; one that all known rows have, or none, all asked ones have, or none."""
    if has_label.all() or not has_label.any():
        return np.full(asked.shape[0], has_label[0])
    return np.asarray(_classifier().fit(known, has_label).predict(asked), np.bool_)


def _indicators(sets: Sequence[Any], count: int) -> Booleans:
    """Whether a row has a label, shape (rows, labels)."""
    found = np.zeros((len(sets), count), np.bool_)
    for row, own in enumerate(sets):
        found[row, own] = True
    return found


def _confusion(true: Integers, predicted: Integers, count: int) -> Integers:
    return np.bincount(true * count + predicted, minlength=count * count).reshape(count, count)
