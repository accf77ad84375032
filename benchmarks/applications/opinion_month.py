"""A made-up month of opinion: hourly counts of twenty entities with surges of negative texts planted into single ones.

Volumes fall from about 3,000 rows an hour by day to 40, each a fifth below the one before; the source is their sum.
Mean shares are 15 % negative, 60 % neutral, 25 % positive; log-odds of each entity have seasons and noise of their own,
as `benchmarks.operations.surge_month` describes them. Each entity has a surge or two in thirty days, of any of its
lengths and factors. In a month of general surges all entities have them at the same time, and alone none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.operations.surge_month import (
    FACTORS,
    HOURS,
    LENGTHS,
    WARM_UP_DAYS,
    Month,
    Planted,
    count_table,
    made_log_odds,
    made_rows,
    softmax,
)

SOURCE = "stream"
VOLUMES = {f"entity{number:02d}": 3000 * 0.8**number for number in range(20)}
LABELS = ("negative", "neutral", "positive")
SHARES = np.array([0.15, 0.60, 0.25])
_KINDS = [(factor, length) for factor in FACTORS for length in LENGTHS]
_PAUSES = 240, 720  # hours from the end of a surge to the next one of the entity
_GENERAL_PAUSES = 60, 120

Kind = tuple[int, int, float]  # first hour, hours, factor


def make_opinion_month(seed: int, *, is_general: bool = False) -> Month:
    """A warm-up week and thirty days: counts of each entity, and of the source, each as if it were a source.

    Args:
        seed: what all of it follows from.
        is_general: whether all entities surge at the same time, planted for the source; else single ones do.
    """
    random = np.random.default_rng(seed)
    of_all = _plant(random, _GENERAL_PAUSES) if is_general else []
    tables, planted = [], []
    total = np.zeros((HOURS, len(LABELS)), np.int64)
    for entity, volume in VOLUMES.items():
        log_odds, rows = made_log_odds(random, SHARES), made_rows(random, volume)
        kinds = of_all if is_general else _plant(random, _PAUSES)
        for start, length, factor in kinds:
            part = slice(start, start + length)
            expected = softmax(log_odds[part])[:, 0]
            log_odds[part, 0] += np.log(factor)
            surged = softmax(log_odds[part])[:, 0]
            means = float(expected.mean()), float(surged.mean()), float(rows[part].mean())
            planted.append(Planted(entity, LABELS[0], start, length, factor, *means))
        counts = _drawn(random, rows, softmax(log_odds))
        tables.append(count_table(entity, LABELS, counts))
        total += counts
    tables.append(count_table(SOURCE, LABELS, total))
    return Month(pa.concat_tables(tables), tuple(_of_source(planted) if is_general else planted))


def _plant(random: np.random.Generator, pauses: tuple[int, int]) -> list[Kind]:
    """Surges one after the other, the first somewhere in the first pause after the warm-up."""
    found: list[Kind] = []
    hour = 24 * WARM_UP_DAYS + int(random.integers(0, pauses[1]))
    for number in random.permutation(len(_KINDS)):
        factor, length = _KINDS[number]
        if hour + length >= HOURS:
            break
        found.append((hour, length, factor))
        hour += length + int(random.integers(*pauses))
    return found


def _drawn(
    random: np.random.Generator, rows: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    return np.stack([random.multinomial(count, each) for count, each in zip(rows, shares, strict=True)])


def _of_source(planted: list[Planted]) -> list[Planted]:
    """Surges of all entities as those of their source, with the means over its rows."""
    found = []
    for start in sorted({one.start for one in planted}):
        own = [one for one in planted if one.start == start]
        rows = sum(one.rows for one in own)
        expected, surged = (
            sum(one.rows * share for one, share in zip(own, shares, strict=True)) / rows
            for shares in ([one.expected for one in own], [one.surged for one in own])
        )
        found.append(own[0]._replace(source=SOURCE, expected=expected, surged=surged, rows=rows))
    return found
