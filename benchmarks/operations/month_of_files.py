"""A month of hourly files of real sentences, with surges and drifts planted: what `benchmarks.operations.files` scores.

Two sources, `posts` and `mail`, of about 220 and 60 rows an hour by day and a third of it by night. Each row is one of
the benchmarks' rated sentences, drawn anew, so that labels are those of a real model with its real mistakes. The odds
of sentences rated negative go with the hour of the day and with slow noise. A surge multiplies the odds of one rating;
a drift changes the texts of a share of the rows: only their first three words, a second sentence behind them, or runes
in place of two words, which no vocabulary has. Surges are in `posts`, drifts in `mail`: drifts hold surges back.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.operations.surge_month import HOUR, HOURS, START, WARM_UP_DAYS, softmax

VOLUMES = {"posts": 220.0, "mail": 60.0}
LABELS = ("negative", "neutral", "positive")
_SEASON, _NOISE, _ALIKE = 0.25, 0.08, 0.9
_RUNES = "\u16a0\u16b1\u16c7 \u16d2\u16de\u16df"

Change = Literal["short", "long", "runes"]


class PlantedSurge(NamedTuple):
    """`factor` on the odds that a row of `posts` is rated `label`, from hour `start` on for `length` hours."""

    label: str
    start: int
    length: int
    factor: float


class PlantedDrift(NamedTuple):
    """A change of the texts of a `share` of the rows of `mail`, from hour `start` on for `length` hours."""

    change: Change
    start: int
    length: int
    share: float


def plant(seed: int) -> tuple[list[PlantedSurge], list[PlantedDrift]]:
    """Fifteen surges by factors of 2, 3 and 6, of 2 to 24 hours; six drifts of 15 % or all rows, of 2 or 3 days."""
    random = np.random.default_rng([seed, 1])
    begin = 24 * WARM_UP_DAYS
    kinds = [(factor, length) for factor in (2.0, 3.0, 6.0) for length in (2, 4, 8, 12, 24)]
    surges = []
    for place, number in enumerate(random.permutation(len(kinds))):
        factor, length = kinds[number]
        label = LABELS[int(random.choice([0, 2]))]
        surges.append(PlantedSurge(label, begin + 48 * place + int(random.integers(0, 20)), length, factor))
    changes: Sequence[Change] = ("short", "long", "runes")
    drifts = []
    for place, number in enumerate(random.permutation(6)):
        change, share = changes[number % 3], (0.15, 1.0)[number // 3]
        length = int(random.integers(48, 73))
        drifts.append(PlantedDrift(change, begin + 24 * 5 * place + int(random.integers(0, 24)), length, share))
    return surges, drifts


def write_days(
    folder: Path,
    texts: dict[str, list[str]],
    surges: Sequence[PlantedSurge],
    drifts: Sequence[PlantedDrift],
    seed: int,
) -> Iterator[datetime.datetime]:
    """Write day after day an hourly csv of each source, `<folder>/<source>/<hour>.csv`: id, time, text.

    Args:
        folder: where to; it exists.
        texts: sentences by their rating.
        surges: planted into `posts`.
        drifts: planted into `mail`.
        seed: of all draws.

    Yields:
        The end of each day, once its files are there.
    """
    random = np.random.default_rng([seed, 2])
    slow = dict.fromkeys(VOLUMES, 0.0)
    for source in VOLUMES:
        (folder / source).mkdir()
    for hour in range(HOURS):
        for source, volume in VOLUMES.items():
            slow[source] = _ALIKE * slow[source] + random.normal(0, _NOISE * np.sqrt(1 - _ALIKE**2))
            shares = _shares(hour, slow[source], surges if source == "posts" else ())
            rows = random.poisson(volume * (0.67 + 0.33 * np.cos(2 * np.pi * (hour - 15) / 24)))
            drawn = [texts[LABELS[label]] for label in random.choice(len(LABELS), rows, p=shares)]
            found = [some[int(random.integers(len(some)))] for some in drawn]
            for drift in drifts if source == "mail" else ():
                if drift.start <= hour < drift.start + drift.length:
                    found = [_changed(text, drift, found, random) for text in found]
            _write_hour(folder / source, source, hour, found)
        if hour % 24 == 23:
            yield START + (hour + 1) * HOUR


def _shares(hour: int, slow: float, surges: Sequence[PlantedSurge]) -> npt.NDArray[np.float64]:
    log_odds = np.log([0.3, 0.4, 0.3])
    log_odds[0] += _SEASON * np.cos(2 * np.pi * (hour - 20) / 24) + slow
    for surge in surges:
        if surge.start <= hour < surge.start + surge.length:
            log_odds[LABELS.index(surge.label)] += np.log(surge.factor)
    shares: npt.NDArray[np.float64] = softmax(log_odds[None])[0]
    return shares


def _changed(text: str, drift: PlantedDrift, others: Sequence[str], random: np.random.Generator) -> str:
    if random.random() >= drift.share:
        return text
    words = text.split()
    if drift.change == "short":
        return " ".join(words[:3])
    if drift.change == "long":
        return f"{text} {others[int(random.integers(len(others)))]}"
    return " ".join([*words[:-2], _RUNES])


def _write_hour(folder: Path, source: str, hour: int, texts: Sequence[str]) -> None:
    begin = START + hour * HOUR
    with (folder / f"{begin:%Y%m%dT%H}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "time", "text"))
        for number, text in enumerate(texts):
            time = begin + HOUR * (number / len(texts))
            writer.writerow((f"{source}-{hour}-{number}", time.isoformat(), text))
