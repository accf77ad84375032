"""Items that a user did not take, drawn by their popularity: what is popular was more likely seen and passed over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.recommending.events import Floats, Ints

EXPONENT = 0.75  # of popularity, as of words in Mikolov et al. 2013: between uniform and popular alone


def sample_negatives(allowed: npt.NDArray[np.bool_], popularity: Floats, count: int, seed: tuple[int, ...]) -> Ints:
    """Different items, drawn without replacement with weights (popularity + 1)**EXPONENT; sorted.

    Args:
        allowed: which items may be drawn, (items,).
        popularity: of all items, 0 or more, (items,).
        count: how many; fewer where not as many are allowed.
        seed: what the draw hangs on, and nothing else.
    """
    items = np.flatnonzero(allowed)
    keys = np.random.default_rng(seed).exponential(size=len(items)) / (popularity[items] + 1.0) ** EXPONENT
    return np.sort(items[np.argsort(keys, kind="stable")[:count]])  # the least of exponentials: Efraimidis, Spirakis
