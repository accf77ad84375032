"""Why a row was answered so: what the answer loses when each token is left out (Li, Monroe and Jurafsky 2016).

Every shorter row goes through the same forward pass as any other, in the same batches, so it is explained by whatever
computes it, a quantized graph as well. Gradients (captum's integrated ones) would need torch and the fp32 weights, and
would explain a model that did not answer. It costs as many rows as a text has tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.predictor import Encoded, Predictor

_TOKENS_AT_ONCE = 4 << 20  # of shorter copies that are in memory together, some 130 MB as Python's integers

Outputs = npt.NDArray[np.float32]


def is_chosen(key: str, share: float) -> bool:
    """Whether a row is among the share of rows that are explained: a function of its key alone."""
    digest = hashlib.blake2b(f"explain\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def explanations(
    predictor: Predictor, encoded: Encoded, outputs: Outputs, rows: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """Weights of the tokens of these rows, special ones left out, as token and weight in the order of the text.

    A weight says how much less speaks for the row's answer without the token: of a label its log-odds, in nats, of a
    number its value. A row of which a shorter copy fails has none, and neither has one of a single token.

    Args:
        predictor: of a classifier or a regression model.
        encoded: all rows.
        outputs: what the model put out for them, (N, C).
        rows: numbers of those to explain.
    """
    support, special = _support_of(predictor), predictor.encoder.special_ids
    found: dict[int, list[dict[str, Any]]] = {}
    failed: set[int] = set()
    for shorter in _in_parts(encoded, rows, special):
        outcome = predictor.outputs(_without(encoded, shorter))
        failed |= {shorter[number][0] for number in outcome.failures}
        for number, (row, place) in enumerate(shorter):
            if row in failed:
                continue
            answer = int(outputs[row].argmax())
            weight = support(outputs[row], answer) - support(outcome.logits[number], answer)
            token = predictor.encoder.token(encoded.ids[row][place])
            found.setdefault(row, []).append({"token": token, "weight": weight})
    return {row: weights for row, weights in found.items() if row not in failed}


def _in_parts(encoded: Encoded, rows: Sequence[int], special: frozenset[int]) -> Iterator[list[tuple[int, int]]]:
    """Rows and places to leave out, in parts of about 4 million tokens; a long row's may be in several."""
    part: list[tuple[int, int]] = []
    tokens = 0
    for row in rows:
        for place in _places(encoded, row, special):
            part.append((row, place))
            tokens += len(encoded.ids[row])
            if tokens >= _TOKENS_AT_ONCE:
                yield part
                part, tokens = [], 0
    if part:
        yield part


def _support_of(predictor: Predictor) -> Callable[[Outputs, int], float]:
    """What speaks for an answer, from a row's outputs (C,)."""
    if predictor.task != "classify":  # a number, or the log-odds of one of several labels
        return lambda outputs, answer: float(outputs[answer])
    return lambda outputs, answer: _log_odds(outputs.astype(np.float64) / predictor.temperature, answer)


def _log_odds(logits: npt.NDArray[np.float64], label: int) -> float:
    others = np.delete(logits, label)
    largest = others.max()
    return float(logits[label] - largest - np.log(np.exp(others - largest).sum()))


def _places(encoded: Encoded, row: int, special: frozenset[int]) -> Iterator[int]:
    """Places of the tokens of a row that can be left out; a model cannot read a row of none."""
    ids = encoded.ids[row]
    return (place for place, token in enumerate(ids) if token not in special and len(ids) > 1)


def _without(encoded: Encoded, shorter: Sequence[tuple[int, int]]) -> Encoded:
    """Rows without the token at a place."""
    ids = [[*encoded.ids[row][:place], *encoded.ids[row][place + 1 :]] for row, place in shorter]
    if encoded.second_starts is None:
        return Encoded(ids)
    starts = encoded.second_starts
    return Encoded(ids, [starts[row] - (place < starts[row]) for row, place in shorter])
