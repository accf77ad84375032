"""Language models: perplexity and bits per byte by hand; the same bits for any number of ranks."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given

from mapring.errors import StageError
from tests.training.figures.splitting import RANKS, SEEDS, summed
from training.figures.language import bits_per_byte, language_figures, likelihood_sums, perplexity


def test_figures_by_hand() -> None:
    """A uniform choice of 256 for each of six bytes: perplexity 256, eight bits a byte."""
    nats = math.log(256)
    found = language_figures(likelihood_sums([2 * nats, 4 * nats], [2, 4], [2, 4]))
    assert (found["tokens"], found["bytes"], found["infinite_rows"]) == (6, 6, 0)
    assert found["loss"] == pytest.approx(nats, abs=1e-7)
    assert found["perplexity"] == pytest.approx(256, rel=1e-7)
    assert found["bits_per_byte"] == pytest.approx(8, rel=1e-7)


@given(seed=SEEDS, ranks=RANKS)
def test_any_number_of_ranks_has_the_same_sums(seed: int, ranks: int) -> None:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, 500, 40)
    nats = (tokens * generator.exponential(3, 40)).astype(np.float32)
    nats[generator.random(40) < 0.05] = np.inf
    columns = (nats, tokens, 4 * tokens)
    assert summed(likelihood_sums, columns, ranks, seed).tolist() == likelihood_sums(*columns).tolist()


def test_what_is_too_large_is_told() -> None:
    found = language_figures(likelihood_sums([1000.0], [1], [1]))
    assert (found["loss"], found["perplexity"], found["infinite_rows"]) == (1000, None, 0)
    found = language_figures(likelihood_sums([1.0, np.inf, 1e300], [1, 1, 1], [1, 1, 1]))
    assert (found["loss"], found["perplexity"], found["bits_per_byte"]) == (None, None, None)
    assert (found["tokens"], found["infinite_rows"]) == (3, 2)
    json.dumps(found, allow_nan=False)
    assert (perplexity(710, 1), perplexity(math.inf, 5), perplexity(0, 3)) == (math.inf, math.inf, 1)


def test_no_tokens_or_bytes_have_no_figure() -> None:
    found = language_figures(likelihood_sums([], [], []))
    assert (found["loss"], found["perplexity"], found["bits_per_byte"]) == (None, None, None)
    assert (perplexity(0, 0), bits_per_byte(0, 0)) == (None, None)
    assert language_figures(likelihood_sums([2.0], [1], [0]))["bits_per_byte"] is None


def test_odd_likelihoods_are_refused() -> None:
    with pytest.raises(StageError, match="found 2 of 3 below 0 or not a number"):
        likelihood_sums([1.0, -1.0, np.nan], [1, 1, 1], [1, 1, 1])
    with pytest.raises(StageError, match="sum up what each row has first"):
        likelihood_sums(np.ones((2, 3)), [3, 3], [1, 1])
