"""Templates found for texts to the columns of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spark_jobs.retrieval.bank import Answer


def columns_of_found(found: Sequence[Sequence[Answer]], abstain_below: float) -> dict[str, list[Any]]:
    """Of each text its templates, the nearest first; the answer is withheld where it is less similar than that."""
    abstained = [answers[0].score < abstain_below for answers in found]
    kept = [None if withheld else answers[0] for answers, withheld in zip(found, abstained, strict=True)]
    return {
        "answers": [[{"id": answer.id, "score": answer.score} for answer in answers] for answers in found],
        "answer": [None if answer is None else answer.id for answer in kept],
        "label": [None if answer is None else answer.label for answer in kept],
        "score": [answers[0].score for answers in found],
        "abstained": abstained,
    }
