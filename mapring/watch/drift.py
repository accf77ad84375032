"""Which quantities of scored rows have drifted from the model's reference, in which windows. Pure.

Each window, or scoring of rows without a time, is one look. Its quantities are tested against a tolerated difference
(`mapring.watch.homogeneity`); their p-values are corrected for each other by Benjamini and Hochberg (1995), also right
where tests depend positively on each other (Benjamini and Yekutieli 2001), and for the looks of 30 days by Bonferroni:
as many as there are windows, or as scorings of rows without a time make, where they come faster.
So a q-value is how many false alarms as strong as this are expected in 30 days without a drift, at most. It hangs on
nothing that comes later, so what was told once stays, but for rows that come late.
"""

from __future__ import annotations

import bisect
import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.settings.watch import Watch
from mapring.watch.counting import LABEL, ROW, WITHHELD
from mapring.watch.distances import (
    Counts,
    jensen_shannon_divergence,
    kolmogorov_smirnov,
    population_stability_index,
    shares,
)
from mapring.watch.findings import Finding
from mapring.watch.homogeneity import differ, join
from mapring.watch.quantities import EPOCH, Compared, CountSeries, compared_with, count_series, microseconds
from mapring.watch.reference import Reference

MONTH = datetime.timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A quantity of one source and model in one window, held against the reference.

    `rows` are those of the window, and of windows before it that were joined to it, from `joined_start` on. Times are
    as in `Finding`. `psi` has what chance adds taken off; `js` is in bits; `ks` is None where bins have no order. `bin`
    is the one that changed the most, with its shares.
    """

    quantity: str
    source: str
    model_fingerprint: str
    window_start: datetime.datetime
    window_end: datetime.datetime | None
    joined_start: datetime.datetime
    rows: int
    psi: float
    js: float
    ks: float | None
    statistic: float
    p_value: float
    q_value: float
    is_drift: bool
    bin: str
    share: float
    expected_share: float


@dataclass(frozen=True, kw_only=True)
class NotJudged:
    """A quantity that could not be judged in its newest window, and why."""

    quantity: str
    source: str
    model_fingerprint: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DriftLook:
    """What was judged, in the order of time; what was not; and rows in windows that have not ended yet."""

    judged: Sequence[Judged]
    not_judged: Sequence[NotJudged]
    open_rows: int

    def findings(self, tolerated: float) -> list[Finding]:
        """The drifts, as all that watching finds is told: `observed` is the population stability index."""
        return [
            Finding(
                kind="drift",
                quantity=found.quantity,
                source=found.source,
                window_start=found.window_start,
                window_end=found.window_end,
                observed=found.psi,
                expected=tolerated,
                statistic=found.statistic,
                q_value=found.q_value,
                rows=found.rows,
                model_fingerprint=found.model_fingerprint,
            )
            for found in self.judged
            if found.is_drift
        ]


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One drift: its judgments, one after the other, and whether it lasts to the newest of its quantity."""

    judged: Sequence[Judged]
    lasts: bool

    @property
    def strongest(self) -> Judged:
        """The judgment with the largest index."""
        return max(self.judged, key=lambda found: found.psi)


def episodes(judged: Iterable[Judged]) -> list[Episode]:
    """Judgments in the order of time to drifts, by when they began."""
    series: defaultdict[tuple[str, str, str, bool], list[Judged]] = defaultdict(list)
    for found in judged:
        series[found.source, found.model_fingerprint, found.quantity, found.window_end is None].append(found)
    told: list[Episode] = []
    for own in series.values():
        for is_drift, group in groupby(own, key=lambda found: found.is_drift):
            if is_drift:
                together = list(group)
                told.append(Episode(judged=together, lasts=together[-1] is own[-1]))
    return sorted(told, key=lambda found: (found.judged[0].window_start, found.judged[0].quantity))


def find_drift(
    counts: pa.Table, references: Mapping[str, Reference], settings: Watch, now: datetime.datetime
) -> DriftLook:
    """Judge the newest windows and scorings.

    Args:
        counts: COUNTS of the table.
        references: by model; of one without, nothing is judged.
        settings: windows and limits.
        now: windows that end later are not judged yet; rows of times to come are in such ones, too.
    """
    judged: list[Judged] = []
    not_judged: list[NotJudged] = []
    open_rows = 0
    for series in count_series(counts):
        ended = series.before(now, settings.window_length)
        open_rows += series.scored - ended.scored
        reference = references.get(series.model)
        if reference is None:
            reason = "the model was published without a reference, or is not there"
            not_judged.append(_not(series, "all", reason))
            continue
        not_judged += [_not(series, quantity, reason) for quantity, reason in reference.missing.items()]
        for compared in compared_with(ended, reference):
            some, why_not = _judge(ended, compared, settings)
            judged += some
            if why_not is not None:
                not_judged.append(_not(series, compared.name, why_not))
    return DriftLook(judged=_corrected(judged, settings), not_judged=not_judged, open_rows=open_rows)


def _judge(series: CountSeries, compared: Compared, settings: Watch) -> tuple[list[Judged], str | None]:
    """The judgments of the newest windows, their p-values not yet corrected; and why the last one was not judged."""
    judged: list[Judged] = []
    if not len(series.starts):
        return judged, "no window has ended yet"
    rows = np.concatenate([[0], np.cumsum(compared.found.sum(axis=1))])
    sums = np.concatenate([np.zeros((1, len(compared.bins)), np.int64), np.cumsum(compared.found, axis=0)])
    withheld = series.rows(ROW, WITHHELD)
    reason = None
    for window in range(max(0, len(series.starts) - settings.judged_windows), len(series.starts)):
        first = _first_joined(series, rows, window, settings)
        reason = _too_early(series, window, settings) or _reason(
            series, compared, int(rows[window + 1] - rows[first]), withheld[first : window + 1], settings
        )
        if reason is None and rows[window + 1] > rows[window]:  # without rows of its own, it tells nothing new
            judged.append(_judgment(series, compared, sums[window + 1] - sums[first], (first, window), settings))
    return judged, reason


def _first_joined(series: CountSeries, rows: Counts, window: int, settings: Watch) -> int:
    """The first of the windows that are judged together with a window, by the sums (W + 1,) of all rows before each."""
    own = settings.window_length if series.has_time else datetime.timedelta()
    end = series.starts[window] + microseconds(own)
    season = settings.season_length if series.has_time else own
    enough = int(np.searchsorted(rows, rows[window + 1] - settings.minimum_rows, side="right")) - 1
    of_season, of_longest = (
        int(np.searchsorted(series.starts, end - microseconds(length))) for length in (season, settings.longest_length)
    )
    return min(window, max(of_longest, min(of_season, enough)))


def _too_early(series: CountSeries, window: int, settings: Watch) -> str | None:
    """Whether a season had not passed yet when a window ended, since when there are rows."""
    if not series.has_time:
        return None
    passed = int(series.starts[window] - series.starts[0]) + microseconds(settings.window_length)
    if passed >= microseconds(settings.season_length):
        return None
    return f"its rows do not go back by {settings.season} (watch.season)"


def _reason(series: CountSeries, compared: Compared, rows: int, withheld: Counts, settings: Watch) -> str | None:
    if compared.name not in series.counts and not compared.name.startswith(f"{LABEL}:"):
        return "the scored rows do not have it"
    if compared.name == LABEL and withheld.any():
        return "labels are withheld (score.abstain_below), so the others are not all that the model would answer"
    if rows < settings.minimum_rows:
        return (
            f"found {rows:,} rows, expected at least {settings.minimum_rows:,} (watch.minimum_rows) within "
            f"{settings.longest_join} (watch.longest_join)"
        )
    return None


def _judgment(
    series: CountSeries, compared: Compared, found: Counts, windows: tuple[int, int], settings: Watch
) -> Judged:
    """One window's, from counts (k,) of the windows that are joined, the first and the last of which are given."""
    first, last = (_moment(series.starts[place]) for place in windows)
    expected = compared.expected
    tested = differ(expected, found, tolerated=settings.tolerated_drift, is_ordered=compared.is_ordered)
    before, now = join(expected, tested.groups), join(found, tested.groups)
    by_chance = (tested.bins - 1) * (1 / max(1, int(before.sum())) + 1 / int(now.sum()))  # Yurdakul 2018
    p, q = shares(expected) if expected.any() else np.zeros(len(expected)), shares(found)
    most = int(np.abs(q - p).argmax())
    is_there = bool(expected.any())
    return Judged(
        quantity=compared.name,
        source=series.source,
        model_fingerprint=series.model,
        window_start=last,
        window_end=last + settings.window_length if series.has_time else None,
        joined_start=first,
        rows=int(found.sum()),
        psi=max(0.0, population_stability_index(before, now) - by_chance),
        js=jensen_shannon_divergence(before, now) if is_there else 0.0,
        ks=kolmogorov_smirnov(expected, found) if compared.is_ordered and is_there else None,
        statistic=tested.statistic,
        p_value=tested.p_value,
        q_value=1.0,
        is_drift=False,
        bin=compared.bins[most],
        share=float(q[most]),
        expected_share=float(p[most]),
    )


def _corrected(judged: Iterable[Judged], settings: Watch) -> list[Judged]:
    """With q-values, in the order of time.

    A month has a look for each window. Rows without a time are looked at with each scoring, and these may come more
    often: then as many are reckoned with as a month has at the pace of the scorings of the month before.
    """
    looks: defaultdict[tuple[bool, datetime.datetime], list[Judged]] = defaultdict(list)
    for found in judged:
        looks[found.window_end is None, found.window_start].append(found)
    scorings = sorted(moment for is_scoring, moment in looks if is_scoring)
    corrected = []
    for (is_scoring, moment), look in sorted(looks.items(), key=lambda item: item[0][::-1]):
        each = min(settings.window_length, _pace(scorings, moment) if is_scoring else MONTH)
        adjusted = benjamini_hochberg([found.p_value for found in look]) * (MONTH / each)
        for found, q_value in zip(look, adjusted.tolist(), strict=True):
            is_drift = q_value <= settings.false_alarms
            corrected.append(replace(found, q_value=min(1.0, q_value), is_drift=is_drift))
    return sorted(corrected, key=lambda found: (found.window_start, found.source, found.model_fingerprint))


def _pace(scorings: Sequence[datetime.datetime], moment: datetime.datetime) -> datetime.timedelta:
    """The mean time between the scorings of the month up to a moment; a month where there is but one.

    Scorings behind the moment do not count, so that what was judged stays as it was judged.
    """
    last = bisect.bisect_right(scorings, moment) - 1
    first = bisect.bisect_left(scorings, moment - MONTH)
    return (scorings[last] - scorings[first]) / (last - first) if last > first else MONTH


def benjamini_hochberg(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The adjusted p-values, in the order given: the least rate of false discoveries at which each is found."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / ranks))
    return adjusted


def _not(series: CountSeries, quantity: str, reason: str) -> NotJudged:
    return NotJudged(quantity=quantity, source=series.source, model_fingerprint=series.model, reason=reason)


def _moment(micros: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(microseconds=int(micros))
