"""Surges: labels that have an improbably large share of a source's rows in a window. A pure function of counts.

A window is held against the days before its own, see `mapring.watch.baseline`, alone and together with the one and the
three before it, since a small surge that lasts shows in their sum first; how strict it is judged follows from
`mapring.watch.online_discovery`. Windows of a label that follow each other within the cooldown are one surge, which
begins with the first of them. No clock takes part: which windows are to be judged is the caller's to say.

Groups of a source are judged beside it, all of them together. Where a source and some of its groups surge in the same
window, the source is judged once more without these groups: if what is left surges, too, or more than three groups do,
the surge is the source's and the groups' are a part of it; otherwise it is that of the groups. The one is told. The
other one is not held back, which would silence it for as long as it lasts, but is judged anew in the next window.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from mapring.settings.alerts import LEAST_WINDOWS, Surges
from mapring.watch.baseline import POOLS, Baseline, fit
from mapring.watch.counting import INPUTS
from mapring.watch.extent import Extent, Key
from mapring.watch.findings import Finding
from mapring.watch.online_discovery import adjusted, level
from mapring.watch.series import Series, Times, left_out
from mapring.watch.tail import upper_tail

_STILL = 1e-3  # level at which a window goes on with a surge that has begun
_MOST_GROUPS = 3  # that are told one by one where their source surges, too
_LEAST_SHARE = 0.2  # of the windows of a warm-up that have rows: those of office hours are a quarter
_DAY = np.timedelta64(1, "D")

_Fitted = tuple[str, str | None, tuple[str, ...], np.datetime64, int]  # source, group, without, day, model


@dataclass(frozen=True, kw_only=True)
class Surge:
    """A surge as it was found, in the last window of its finding; `count` are its rows there and in those before it.

    `explained_by` is why it is to be held back.
    """

    finding: Finding
    count: int
    explained_by: str | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What judging windows has found; `extents` are all that were known, those that grew, and those of `surges`.

    `judged` counts windows of sources and groups, `passed_over` those of sources by why they could not be judged;
    `told_by_others` are surges of a window that another one tells, of its source or of groups.
    """

    surges: tuple[Surge, ...]
    extents: tuple[Extent, ...]
    judged: int
    passed_over: Mapping[str, int]
    told_by_others: int


@dataclass(frozen=True, kw_only=True)
class _Tested:
    """A label of a source or group in a window, with the windows before it that make it the least probable."""

    source: str
    group: str | None
    label: str
    start: datetime.datetime
    count: int
    rows: int
    expected: float
    probability: float
    model: str
    explained_by: str | None

    @property
    def key(self) -> Key:
        return self.source, self.group, self.label

    def goes_on(self, settings: Surges) -> bool:
        return self.probability <= _STILL and self.is_large(settings)

    def is_large(self, settings: Surges) -> bool:
        share = self.count / self.rows
        return (
            self.count >= settings.minimum_label_rows
            and share >= settings.minimum_ratio * self.expected
            and share >= settings.minimum_excess + self.expected
        )


def find_surges(
    series: Sequence[Series],
    windows: Mapping[str, Collection[np.datetime64]],
    settings: Surges,
    length: datetime.timedelta,
    *,
    known: Sequence[Extent] = (),
    alerts: Sequence[datetime.datetime] = (),
    drifts: Sequence[Finding] = (),
) -> Evaluation:
    """Judge windows, in the order of time.

    Args:
        series: counts of all sources, and of their groups if any are judged, those of history included.
        windows: starts of the windows to judge, by source; its groups are judged in the same ones.
        settings: what a surge is.
        length: of a window.
        known: surges that were found before.
        alerts: starts of surges that were sent, which make later windows less strict.
        drifts: findings of drift, which may explain a surge.
    """
    extents, begun = list(known), [_number(start, length) for start in alerts]
    memory = max(1, round(settings.memory_days * 86_400 / length.total_seconds()))
    surges: list[Surge] = []
    told_by_others = 0
    judge = _Judge(settings, length, drifts)
    for window in sorted(set().union(*windows.values())):
        tested = judge.test([one for one in series if window in windows.get(one.source, ())], window)
        strictness = level(_number(_moment(window), length), begun, settings.false_discovery_rate, memory)
        found = _follow(tested, extents, _moment(window), length, settings)
        fresh = [test for test in tested if test.key not in found]
        corrected = adjusted(np.array([test.probability for test in fresh]))
        surged = [
            (test, probability)
            for test, probability in zip(fresh, corrected, strict=True)
            if probability <= strictness and test.is_large(settings)
        ]
        going_on = {test.key for test in tested if test.key in found and test.goes_on(settings)}
        told = judge.told(going_on | {test.key for test, _ in surged}, found, series, window)
        told_by_others += sum(test.key not in told for test, _ in surged)
        is_alert = False
        for test, probability in surged:
            if test.key not in told:
                continue
            moment = _moment(window)
            extents.append(
                Extent(source=test.source, group=test.group, label=test.label, start=test.start, last=moment)
            )
            q_value = min(1.0, settings.false_discovery_rate * probability / strictness)
            surges.append(_surge(test, moment + length, q_value))
            is_alert = is_alert or test.explained_by is None
        if is_alert:
            begun.append(_number(_moment(window), length))
    return Evaluation(
        surges=tuple(surges),
        extents=tuple(extents),
        judged=judge.judged,
        passed_over=dict(judge.passed_over),
        told_by_others=told_by_others,
    )


def _follow(
    tested: Sequence[_Tested],
    extents: list[Extent],
    moment: datetime.datetime,
    length: datetime.timedelta,
    settings: Surges,
) -> set[Key]:
    """Labels whose surge goes on or has just ended: they are no news. Where it goes on its extent grows."""
    cooldown = datetime.timedelta(hours=settings.cooldown_hours)
    by_key = {test.key: test for test in tested}
    found: set[Key] = set()
    for number, extent in enumerate(extents):
        if not extent.reaches(moment, length, cooldown):
            continue
        found.add(extent.key)
        test = by_key.get(extent.key)
        if test is not None and test.goes_on(settings):
            extents[number] = replace(extent, last=max(extent.last, moment))
    return found


class _Judge:
    """Tests of single windows; the baseline of a source or group and a day is made once."""

    def __init__(self, settings: Surges, length: datetime.timedelta, drifts: Sequence[Finding]) -> None:
        self.settings, self.length = settings, length
        self.judged = 0
        self.passed_over: Counter[str] = Counter()
        self._drifts = drifts
        self._baselines: dict[_Fitted, tuple[Baseline | None, str | None]] = {}

    def test(self, series: Sequence[Series], start: np.datetime64) -> list[_Tested]:
        """P-values of the labels of all sources and groups in a window, where there is enough to judge."""
        found: list[_Tested] = []
        for one in series:
            tests = self._test(one, start)
            if not isinstance(tests, str):
                self.judged += 1
                found += tests
            elif one.group is None:
                self.passed_over[tests] += 1
        return found

    def told(
        self, surging: Collection[Key], known: Collection[Key], series: Sequence[Series], start: np.datetime64
    ) -> set[Key]:
        """Of what surges in a window, that which is not a part of something else that does, or has just been told."""
        told: set[Key] = set()
        for source, label in {(source, label) for source, _, label in surging}:
            own = [group for other, group, name in surging if (other, name) == (source, label)]
            groups = sorted(group for group in own if group is not None)
            is_known = (source, None, label) in known
            is_whole = is_known or None in own
            if is_whole and (not groups or self._is_general(source, label, groups, is_known, series, start)):
                told.add((source, None, label))
            else:
                told |= {(source, group, label) for group in groups}
        return told

    def _is_general(
        self,
        source: str,
        label: str,
        groups: Sequence[str],
        is_known: bool,
        series: Sequence[Series],
        start: np.datetime64,
    ) -> bool:
        """Whether the surge of a source is more than that of some of its groups.

        Where it is known to be, it is as long as the rest is not as ever; a new one has to be large without them.
        """
        if len(groups) > _MOST_GROUPS:
            return True
        whole = next(one for one in series if one.source == source and one.group is None)
        parts = [one for one in series if one.source == source and one.group in groups]
        tests = self._test(left_out(whole, parts), start)
        rest = [] if isinstance(tests, str) else [test for test in tests if test.label == label]
        return any(test.probability <= _STILL if is_known else test.goes_on(self.settings) for test in rest)

    def _test(self, series: Series, start: np.datetime64) -> list[_Tested] | str:
        """Tests of a window, or why there are none."""
        window = int(np.searchsorted(series.starts, start))
        if window == len(series.starts) or series.starts[window] != start:
            return "no rows"
        if series.rows[window] < self.settings.minimum_rows:
            return "fewer rows than minimum_rows"
        baseline, model_changed = self._baseline(series, window)
        if baseline is None:
            return "no history yet"
        explained = self._explain(series, window, model_changed)
        pools = [self._pool(series, window, baseline, pool) for pool in POOLS if self._is_pool(series, window, pool)]
        return [
            replace(least, probability=min(1.0, least.probability * len(pools)), explained_by=explained)
            for least in (min(tests, key=lambda test: test.probability) for tests in zip(*pools, strict=True))
        ]

    def _is_pool(self, series: Series, window: int, pool: int) -> bool:
        """Whether there are so many windows in a row, all of them by the window's model and with rows enough."""
        first = window - pool + 1
        if first < 0 or series.starts[window] - series.starts[first] != (pool - 1) * np.timedelta64(self.length):
            return False
        part = slice(first, window + 1)
        is_alike = series.models[part] == series.models[window]
        return bool(np.all(is_alike & (series.rows[part] >= self.settings.minimum_rows)))

    def _pool(self, series: Series, window: int, baseline: Baseline, pool: int) -> list[_Tested]:
        part = slice(window - pool + 1, window + 1)
        each = series.rows[part]
        expected, spread = baseline.expected(_local(series.starts[part], self.settings.timezone), each)
        counts, rows = series.counts[part].sum(axis=0), int(each.sum())
        return [
            _Tested(
                source=series.source,
                group=series.group,
                label=label,
                start=_moment(series.starts[part.start]),
                count=int(count),
                rows=rows,
                expected=float(share),
                probability=upper_tail(int(count), rows, float(share), float(varies)) if count > rows * share else 1.0,
                model=series.model_names[series.models[window]],
                explained_by=None,
            )
            for label, count, share, varies in zip(series.labels, counts, expected, spread, strict=True)
        ]

    def _baseline(self, series: Series, window: int) -> tuple[Baseline | None, str | None]:
        """What the days before a window's day say, and whether another model said it."""
        day, model = series.starts[window].astype("datetime64[D]"), int(series.models[window])
        key = series.source, series.group, series.without, day, model
        if key not in self._baselines:
            self._baselines[key] = self._fit(series, day, model)
        return self._baselines[key]

    def _fit(self, series: Series, day: np.datetime64, model: int) -> tuple[Baseline | None, str | None]:
        settings = self.settings
        oldest = day - np.timedelta64(round(settings.history_days * 86_400), "s")
        is_history = (series.starts >= oldest) & (series.starts < day)
        own = is_history & (series.models == model) & ~series.is_mixed
        changed = None
        if not self._is_enough(series.starts[own], day):
            changed = f"model {series.model_names[model]} has scored less than the warm-up before it"
            own = is_history
        if not self._is_enough(series.starts[own], day):
            return None, None
        baseline = fit(
            _local(series.starts[own], settings.timezone),
            series.counts[own],
            series.rows[own],
            half_life_days=settings.history_days / 2,
            window_days=self.length.total_seconds() / 86_400,
        )
        return baseline, changed if np.any(is_history & (series.models != model)) else None

    def _is_enough(self, starts: Times, day: np.datetime64) -> bool:
        seconds = self.settings.warm_up_days * 86_400
        needed = max(LEAST_WINDOWS, _LEAST_SHARE * seconds / self.length.total_seconds())
        return len(starts) >= needed and bool(day - starts[0] >= np.timedelta64(round(seconds), "s"))

    def _explain(self, series: Series, window: int, model_changed: str | None) -> str | None:
        """Why a surge in this window would be no news, if something explains it.

        Drifts of what was read explain; drifts of labels or scores are what a surge looks like.
        """
        if "model" in self.settings.hold_back:
            if series.is_mixed[window]:
                return "rows of the window are by several models"
            if model_changed is not None:
                return model_changed
        if "drift" not in self.settings.hold_back:
            return None
        start = _moment(series.starts[window])
        before = start - datetime.timedelta(hours=self.settings.cooldown_hours)
        for drift in self._drifts:
            is_own = drift.quantity in INPUTS and drift.source in (None, series.source)
            if is_own and _overlaps(drift, before, start + self.length):
                return f"drift of {drift.quantity} since {drift.window_start:%Y-%m-%d %H:%M} UTC"
        return None


def _overlaps(drift: Finding, begin: datetime.datetime, end: datetime.datetime) -> bool:
    if drift.window_start is None or drift.window_end is None:
        return False
    return drift.window_start < end and drift.window_end > begin


def _surge(test: _Tested, end: datetime.datetime, q_value: float) -> Surge:
    finding = Finding(
        kind="surge",
        quantity=test.label,
        source=test.source,
        group=test.group,
        window_start=test.start,
        window_end=end,
        observed=test.count / test.rows,
        expected=test.expected,
        statistic=test.probability,
        q_value=q_value,
        rows=test.rows,
        model_fingerprint=test.model,
    )
    return Surge(finding=finding, count=test.count, explained_by=test.explained_by)


def _number(moment: datetime.datetime, length: datetime.timedelta) -> int:
    return int(moment.timestamp() // length.total_seconds())


def _moment(window: np.datetime64) -> datetime.datetime:
    found: datetime.datetime = window.astype("datetime64[us]").item()
    return found.replace(tzinfo=datetime.UTC)


def _local(starts: Times, timezone: str) -> npt.NDArray[np.datetime64]:
    """The same moments as the clocks of a time zone show them."""
    if timezone == "UTC":
        return starts
    zone = ZoneInfo(timezone)
    shown = [_moment(start).astimezone(zone).replace(tzinfo=None) for start in starts]
    return np.array(shown, "datetime64[us]")
