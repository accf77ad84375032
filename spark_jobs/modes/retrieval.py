"""Templates found for texts to the columns of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def columns_of_label_and_answer(
    of_label: Mapping[str, list[Any]], found: Sequence[Sequence[Answer]], abstain_below: float
) -> dict[str, list[Any]]:
    """Of each text its label and its templates; both are withheld where either is too weak.

    Args:
        of_label: columns of `labels.columns_of_one`.
        found: templates, the nearest first.
        abstain_below: similarity of the nearest one below which label and answer are withheld.
    """
    of_answer = columns_of_found(found, abstain_below)
    abstained = [bool(one or other) for one, other in zip(of_label["abstained"], of_answer["abstained"], strict=True)]

    def kept(values: Sequence[Any]) -> list[Any]:
        return [None if withheld else value for value, withheld in zip(values, abstained, strict=True)]

    return {
        **of_label,
        "label": kept(of_label["label"]),
        "answers": of_answer["answers"],
        "answer": kept(of_answer["answer"]),
        "similarity": of_answer["score"],
        "abstained": abstained,
    }
