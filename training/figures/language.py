"""Figures of language models: how surprised a model is by a text.

Perplexity is that of Jelinek, Mercer, Bahl and Baker (1977). It depends on the tokenizer; bits per byte do not, and can
be compared between models.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.errors import StageError
from training.batches import Integers
from training.figures.fixed_point import from_fixed_point, to_fixed_point

_FRACTION_BITS = 24  # of a row's nats: finer than float32, and 5 * 10**10 tokens of 10 nats fit into 63 bits
_MOST_NATS = 2.0**32  # of a row; more, which no model that is not broken reaches, counts as infinite


def likelihood_sums(nll: npt.ArrayLike, tokens: npt.ArrayLike, sizes: npt.ArrayLike) -> Integers:
    """What a rank counts of its rows; to be summed over the ranks.

    Args:
        nll: the negative log likelihood of all tokens of each row together, in nats, shape (rows,); infinity where a
            token has no probability.
        tokens: how many tokens of each row were predicted, shape (rows,).
        sizes: the text that these tokens stand for, in bytes of UTF-8, shape (rows,); zeros where it is not known.

    Returns:
        Shape (4,): nats in units of 2**-24, tokens, bytes, rows of infinite likelihood (whose nats are not in the sum).

    Raises:
        StageError: a value is not a number or below 0, or shapes differ.
    """
    nats, counts, lengths = np.asarray(nll, np.float64), np.asarray(tokens, np.int64), np.asarray(sizes, np.int64)
    if not nats.shape == counts.shape == lengths.shape or nats.ndim != 1:
        raise StageError(
            f"found likelihoods, tokens and bytes of shapes {nats.shape}, {counts.shape} and {lengths.shape}, expected "
            "(rows,) for all three; sum up what each row has first"
        )
    odd = int(np.count_nonzero(~(nats >= 0)))
    if odd:
        raise StageError(
            f"negative log likelihoods: found {odd} of {len(nats)} below 0 or not a number, expected 0 or more; the "
            "model has diverged: start again from an earlier checkpoint or with a lower learning rate"
        )
    infinite = nats > _MOST_NATS
    fixed = to_fixed_point(nats[~infinite], _FRACTION_BITS)
    return np.array([fixed.sum(), counts.sum(), lengths.sum(), infinite.sum()], np.int64)


def language_figures(sums: Integers) -> dict[str, Any]:
    """Figures of the summed `likelihood_sums`, of shape (4,).

    Returns:
        `tokens`, `bytes`, `infinite_rows`; `loss` (nats a token), `perplexity` and `bits_per_byte`. These are None
        without tokens (bytes), and where they are infinite, as JSON knows no infinity: `infinite_rows` is then above
        0, or else `loss` above 709, so that only the perplexity is too large for float64.
    """
    fixed, tokens, size, infinite = sums.tolist()
    nats = math.inf if infinite else from_fixed_point(fixed, _FRACTION_BITS)
    return {
        "tokens": tokens,
        "bytes": size,
        "infinite_rows": infinite,
        "loss": _finite(nats / tokens if tokens else None),
        "perplexity": _finite(perplexity(nats, tokens)),
        "bits_per_byte": _finite(bits_per_byte(nats, size)),
    }


def perplexity(nll: float, tokens: int) -> float | None:
    """exp(nll / tokens), of summed nats; None without tokens, infinity where float64 ends (above 709 nats a token)."""
    if not tokens:
        return None
    try:
        return math.exp(nll / tokens)
    except OverflowError:
        return math.inf


def bits_per_byte(nll: float, size: int) -> float | None:
    """Summed nats as bits for each byte of text; None without bytes."""
    return nll / math.log(2) / size if size else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
