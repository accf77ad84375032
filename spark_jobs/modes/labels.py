"""Logits of labels to what is told of them: probabilities, the labels given, and those that were close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.settings.answers import Answers

Floats = npt.NDArray[np.float64]
Columns = dict[str, list[Any]]

GIVEN_ABOVE = 0.5  # the probability of one of several labels, as evaluation takes it


def softmax(logits: npt.NDArray[np.float32], temperature: float) -> Floats:
    """Probabilities of labels of which one is right, (N, C)."""
    scaled = logits.astype(np.float64) / temperature
    shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found


def sigmoid(logits: npt.NDArray[np.float32]) -> Floats:
    """Probabilities of labels of which each is right or not, (N, C)."""
    found: Floats = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return found


def columns_of_one(probabilities: Floats, labels: Sequence[str], answers: Answers) -> Columns:
    """Columns label, score, probabilities, top and abstained, from calibrated probabilities (N, C).

    A label whose probability is below `abstain_below` is withheld; its score stays.
    """
    best = probabilities.argmax(axis=1)
    scores = probabilities[np.arange(len(best)), best]
    abstained = scores < answers.abstain_below
    return {
        "label": [
            None if withheld else labels[label]
            for label, withheld in zip(best.tolist(), abstained.tolist(), strict=True)
        ],
        "score": scores.tolist(),
        **_asked(probabilities, labels, answers),
        "abstained": abstained.tolist(),
    }


def columns_of_several(probabilities: Floats, labels: Sequence[str], answers: Answers) -> Columns:
    """Columns labels, probabilities and top, from the probabilities (N, C) of each label alone."""
    return {
        "labels": [
            [entry for entry in _ranked(row, labels, len(labels)) if entry["score"] > GIVEN_ABOVE]
            for row in probabilities
        ],
        **_asked(probabilities, labels, answers),
    }


def _asked(probabilities: Floats, labels: Sequence[str], answers: Answers) -> Columns:
    none: list[Any] = [None] * len(probabilities)
    return {
        "probabilities": probabilities.tolist() if answers.probabilities else none,
        "top": [_ranked(row, labels, answers.top_k) for row in probabilities] if answers.top_k else none,
    }


def _ranked(probabilities: Floats, labels: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The most probable labels of one row, (C,); of equal ones those before come first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [{"label": labels[label], "score": float(probabilities[label])} for label in order.tolist()]
