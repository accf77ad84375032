"""How sure a ratio of two speeds is: a bootstrap over interleaved runs, and over the steps that both took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
_DRAWS, _SEED = 4000, 17


class Ratio(NamedTuple):
    """A speed over another: the median over the rounds, and the bound that it exceeds with 95 % confidence."""

    median: float
    lower95: float


def speed_ratio(ours: Sequence[Seconds], theirs: Sequence[Seconds]) -> Ratio:
    """Our speed over theirs for the same steps.

    Each side is one array a round with the seconds of each step. Step i of both has the same rows, and rounds of one
    index ran one after the other, so that they share the machine's moods. Rounds are drawn with replacement, then
    steps within each, the same of both sides.
    """
    assert len(ours) == len(theirs) and all(len(a) == len(b) for a, b in zip(ours, theirs, strict=True))
    chance = np.random.default_rng(_SEED)
    drawn = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        ratios = []
        for index in chance.integers(len(ours), size=len(ours)):
            steps = chance.integers(len(ours[index]), size=len(ours[index]))
            ratios.append(theirs[index][steps].sum() / ours[index][steps].sum())
        drawn[draw] = np.median(ratios)
    median = float(np.median([b.sum() / a.sum() for a, b in zip(ours, theirs, strict=True)]))
    return Ratio(median, float(np.quantile(drawn, 0.05)))
