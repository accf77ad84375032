"""Texts to the columns of their answers, in every mode; a row that has none says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mapring.contract.schemas import answer_schema
from mapring.settings.answers import Answers
from mapring.settings.combinations import ModeName
from spark_jobs.distinct import distinct_texts
from spark_jobs.forward import Outcome, Passes
from spark_jobs.modes.explanation import explanations, is_chosen
from spark_jobs.modes.labels import columns_of_one, columns_of_several, sigmoid, softmax
from spark_jobs.modes.retrieval import columns_of_found, columns_of_label_and_answer
from spark_jobs.predictor import Encoded, Predictor
from spark_jobs.records import EMPTY

MODEL_FAILED = "model_failed"

Columns = dict[str, list[Any]]


class Rows(NamedTuple):
    """Normalized texts that are not empty, each once, their tokens, and the places of those to explain, ascending."""

    texts: list[str]
    encoded: Encoded
    explained: list[int]


class Computed(NamedTuple):
    """How many different texts the model was given, how many rows got the answer of an equal one, and its tokens."""

    texts: int
    fanned_out: int
    tokens: int
    padded_tokens: int


class Predicted(NamedTuple):
    """Columns of `answer_schema`, what the model did for them, and the columns of READ that tokens tell."""

    columns: Columns
    computed: Computed
    read: Columns


class Answered(NamedTuple):
    """Columns without error and detail, a value for each text; those of texts that failed mean nothing."""

    columns: Columns
    passes: Passes


def predict_columns(
    predictor: Predictor, texts: Sequence[str | None], answers: Answers, keys: Sequence[str] | None = None
) -> tuple[Columns, Computed]:
    """The columns of `answer_schema` for normalized texts, and what the model did for them.

    Null or empty texts are not given to the model, equal ones once. A text's answer does not depend on the others.

    Args:
        predictor: the model.
        texts: normalized; pairs as `mapring.pairs` joins them.
        answers: what it is asked for.
        keys: of the rows, which choose those to explain; None takes the texts themselves.
    """
    predicted = predict_rows(predictor, texts, answers, keys)
    return predicted.columns, predicted.computed


def predict_rows(
    predictor: Predictor, texts: Sequence[str | None], answers: Answers, keys: Sequence[str] | None = None
) -> Predicted:
    """As `predict_columns`, and what of the texts the model was given."""
    mode = predictor.published.mode_for(answers)
    found = [row for row, text in enumerate(texts) if text]
    own = [texts[row] or "" for row in found]
    distinct = distinct_texts(own)
    own_keys = own if keys is None else [keys[row] for row in found]
    is_explained = [is_chosen(key, answers.explain_share) for key in own_keys]
    explained = sorted({place for place, chosen in zip(distinct.places, is_explained, strict=True) if chosen})
    encoded = predictor.encode(distinct.texts)
    answered = _MODES[mode](predictor, Rows(distinct.texts, encoded, explained), answers)
    columns: Columns = {name: [None] * len(texts) for name in answer_schema(mode).names}
    columns["error"] = [EMPTY] * len(texts)
    passes = answered.passes
    failures = passes.failures
    for row, place, chosen in zip(found, distinct.places, is_explained, strict=True):
        if place in failures:
            columns["error"][row], columns["detail"][row] = MODEL_FAILED, failures[place]
            continue
        columns["error"][row] = None
        for name, values in answered.columns.items():
            columns[name][row] = values[place] if chosen or name != "explanation" else None
    texts_given = len(distinct.texts)
    computed = Computed(texts_given, len(found) - texts_given, passes.tokens, passes.padded_tokens)
    ids = [encoded.ids[place] for place in distinct.places]
    return Predicted(columns, computed, _read(predictor, ids, found, len(texts)))


def _read(predictor: Predictor, ids: Sequence[Sequence[int]], rows: Sequence[int], count: int) -> Columns:
    """The columns that the tokens of some rows tell, null in the others of `count` rows."""
    unknown_id = predictor.encoder.unknown_id
    read: Columns = {"input_tokens": [None] * count, "unknown_tokens": [None] * count}
    for row, own in zip(rows, ids, strict=True):
        read["input_tokens"][row] = len(own)
        if unknown_id is not None:
            read["unknown_tokens"][row] = own.count(unknown_id)
    return read


def _one_label(predictor: Predictor, rows: Rows, answers: Answers) -> Answered:
    outcome = predictor.outputs(rows.encoded)
    columns = columns_of_one(softmax(outcome.logits, predictor.temperature), predictor.labels, answers)
    return _explained(predictor, rows, outcome, columns)


def _several_labels(predictor: Predictor, rows: Rows, answers: Answers) -> Answered:
    outcome = predictor.outputs(rows.encoded)
    columns = columns_of_several(sigmoid(outcome.logits), predictor.labels, answers)
    return _explained(predictor, rows, outcome, columns)


def _number(predictor: Predictor, rows: Rows, _answers: Answers) -> Answered:
    outcome = predictor.outputs(rows.encoded)
    return _explained(predictor, rows, outcome, {"value": outcome.logits[:, 0].tolist()})


def _vector(predictor: Predictor, rows: Rows, _answers: Answers) -> Answered:
    outcome = predictor.outputs(rows.encoded)
    return Answered({"embedding": list(outcome.logits)}, _passes(outcome))


def _retrieved(predictor: Predictor, rows: Rows, answers: Answers) -> Answered:
    assert predictor.bank is not None and answers.retrieval is not None
    outcome = predictor.outputs(rows.encoded)
    found = predictor.bank.answers(outcome.logits, answers.retrieval.top_k)
    return Answered(columns_of_found(found, answers.retrieval.abstain_below), _passes(outcome))


def _label_and_answer(predictor: Predictor, rows: Rows, answers: Answers) -> Answered:
    assert predictor.bank is not None and answers.retrieval is not None
    outcome, vectors = predictor.outputs_and_vectors(rows.encoded)
    of_label = columns_of_one(softmax(outcome.logits, predictor.temperature), predictor.labels, answers)
    found = predictor.bank.answers(vectors, answers.retrieval.top_k)
    columns = columns_of_label_and_answer(of_label, found, predictor.bank.threshold(answers.retrieval))
    return _explained(predictor, rows, outcome, columns)


def _perplexity(predictor: Predictor, rows: Rows, _answers: Answers) -> Answered:
    """The exponential of the mean negative log likelihood; texts of one token have none."""
    encoded = rows.encoded
    long = [row for row, ids in enumerate(encoded.ids) if len(ids) > 1]
    starts = encoded.second_starts
    outcome = predictor.likelihoods(
        [encoded.ids[row] for row in long], None if starts is None else [starts[row] for row in long]
    )
    perplexities: list[float | None] = [None] * len(rows.texts)
    for row, value in zip(long, np.exp(outcome.logits[:, 0].astype(np.float64)).tolist(), strict=True):
        perplexities[row] = value
    failures = {long[place]: reason for place, reason in outcome.failures.items()}
    tokens = [max(0, len(ids) - 1) for ids in encoded.ids]
    passes = Passes(failures, outcome.tokens, outcome.padded_tokens)
    return Answered({"perplexity": perplexities, "tokens": tokens}, passes)


def _continuation(predictor: Predictor, rows: Rows, answers: Answers) -> Answered:
    continued = predictor.generator(rows.texts, answers.generation)
    columns: Columns = {"generated": continued.texts, "tokens": continued.tokens, "finish": continued.finishes}
    return Answered(columns, continued.passes)


def _explained(predictor: Predictor, rows: Rows, outcome: Outcome, columns: Columns) -> Answered:
    """With the column explanation, of the texts that are chosen and did not fail."""
    chosen = [place for place in rows.explained if place not in outcome.failures]
    found = explanations(predictor, rows.encoded, outcome.logits, chosen) if chosen else {}
    return Answered(
        {**columns, "explanation": [found.get(place) for place in range(len(rows.texts))]}, _passes(outcome)
    )


def _passes(outcome: Outcome) -> Passes:
    return Passes(outcome.failures, outcome.tokens, outcome.padded_tokens)


_MODES: dict[ModeName, Callable[[Predictor, Rows, Answers], Answered]] = {
    "classify": _one_label,
    "answer": _label_and_answer,
    "multilabel": _several_labels,
    "regression": _number,
    "embed": _vector,
    "retrieve": _retrieved,
    "perplexity": _perplexity,
    "generate": _continuation,
}
