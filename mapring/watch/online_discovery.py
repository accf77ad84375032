"""How strict a window is judged, so that false alerts stay few however many windows come: an online procedure.

Benjamini and Hochberg need all tests at once, and windows come one after another without end. LORD (Javanmard and
Montanari 2018) gives each next test a level by how long ago the discoveries before it were; but where surges are
rare its levels fall to zero within weeks. With a memory (Rebjock, Kurt, Januschowski and Callot 2021) they fall to a
floor. SAFFRON and ADDIS adapt their levels to how many p-values are small, respectively large; both use the p-values of
all windows before, which late files change. The levels here hang on the moments of alerts alone, and those are
recorded and never change.

A window is one test of that sequence, by the Simes combination of all its labels and sources; which of them surged is
decided inside it by Benjamini and Hochberg at the window's level. As a level is given before its window is looked at,
the expected number of false windows is at most `rate` * (alerts + periods of memory that have passed).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def level(window: int, alerts: Sequence[int], rate: float, memory: int) -> float:
    """The level of a window.

    Args:
        window: its number; numbers are those of the clock, so windows without rows count.
        alerts: numbers of windows in which surges began, in any order; those before the window count.
        rate: the share of false ones among alerts that is aimed at.
        memory: windows after which an alert is forgotten; if none is true `rate` false ones are expected in them.
    """
    spending = _spending(memory)
    ages = [window - alert for alert in set(alerts)]
    earned = sum(float(spending[age - 1]) for age in ages if 1 <= age <= memory)
    return min(rate, rate * (1 / memory + earned))


def adjusted(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P-values of tests that belong together, as Benjamini and Hochberg adjust them: at most a level is a discovery."""
    count = len(p_values)
    if not count:
        return p_values
    order = np.argsort(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    result = np.empty(count)
    result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


@functools.cache
def _spending(memory: int) -> npt.NDArray[np.float64]:
    """How what an alert earns is spent over the windows after it: less and less, until it is forgotten; the sum is 1.

    Any such sequence holds the bound. The one that LORD was published with spends a third on the five windows after an
    alert, in which made-up months had most of their false alerts and no more true ones than at any time.
    """
    values = np.arange(memory, 0, -1, dtype=np.float64)
    result: npt.NDArray[np.float64] = values / values.sum()
    return result
