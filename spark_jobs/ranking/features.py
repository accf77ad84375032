"""What a ranker sees of a row: the scores of its text, then the numbers that came with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mapring.errors import SettingsError
from mapring.settings.answers import Answers
from mapring.settings.combinations import ModeName, ranker_refusal

Floats = npt.NDArray[np.float64]


class TextScores(NamedTuple):
    """How the answers of a mode become numbers: their names, and the place of the text's own score among them."""

    mode: ModeName
    names: tuple[str, ...]
    own: int

    def of(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        """The numbers of answer columns, (N, F); NaN in rows without an answer and where fewer templates were found."""
        if self.mode == "regression":
            rows: list[Sequence[float] | None] = [None if value is None else [value] for value in columns["value"]]
        elif self.mode == "retrieve":
            rows = [
                None if answers is None else [answer["score"] for answer in answers] for answers in columns["answers"]
            ]
        else:
            rows = list(columns["probabilities"])
        found = np.full((len(rows), len(self.names)), np.nan)
        for place, row in enumerate(rows):
            if row is not None:
                found[place, : len(row)] = row
        return found


def text_scores(mode: ModeName, labels: Sequence[str], answers: Answers, label: str | None) -> TextScores:
    """What a ranker sees of the answers of a mode.

    Args:
        mode: what the model gives.
        labels: the model's.
        answers: what it is asked for.
        label: whose probability is the text's own score; None for the last one.

    Raises:
        SettingsError: the mode gives no scores, or the model has no such label.
    """
    why = ranker_refusal(mode, label)
    if why is not None:
        raise SettingsError(why)
    if mode == "regression":
        return TextScores(mode, ("value",), 0)
    if mode == "retrieve":
        assert answers.retrieval is not None
        return TextScores(mode, tuple(f"similarity {place}" for place in range(1, answers.retrieval.top_k + 1)), 0)
    if label is not None and label not in labels:
        raise SettingsError(f"ranker.label: found {label!r}, expected one of {', '.join(map(repr, labels))}")
    own = len(labels) - 1 if label is None else labels.index(label)
    return TextScores(mode, tuple(f"probability of {name}" for name in labels), own)


def asked_by_ranker(answers: Answers, mode: ModeName) -> Answers:
    """What a model must be asked for so that a ranker sees all it needs; numbers and similarities it gives unasked."""
    return answers if mode in ("regression", "retrieve") else answers.model_copy(update={"probabilities": True})


def joined(text: Floats, features: Sequence[Sequence[float | None] | None], width: int) -> Floats:
    """Scores of texts (N, F) and `width` given numbers of each row side by side; a missing number is NaN."""
    given = np.full((len(text), width), np.nan)
    for place, row in enumerate(features):
        if row is not None and width:
            given[place] = [np.nan if value is None else value for value in row]
    return np.concatenate([text, given], axis=1)
