"""What share each label is expected to have in a window: level, hour of day and day of week, from the windows before.

The log-odds of a share are a level, a number for each hour of the day (of longer windows for each of the day's), and
once each has been seen one for each day of the week (with windows of a day after 24 of them), each pulled to zero where
little speaks for it. Hours and not smooth waves, because what comes with a press release at noon or a batch at midnight
has edges.

Windows count by their rows, but no more than the share varies beyond what a binomial says (`spread`), so that no window
outweighs the others however many rows it has; recent days count more than older ones; and windows that do not fit, such
as those of earlier surges, count less, down to nothing (Tukey's biweight). The level follows a lasting change once it
is most of the history. How much sums of several windows in a row vary is measured on the history as well, since
neighbours are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_SPREAD = 1e-4  # no window counts as more than 10,000 independent rows
POOLS = (1, 2, 4)  # windows in a row that are judged as one
_MOST_SLOTS = 24  # of a day
_DAYS_FOR_WEEK = 7.0
_WINDOWS_PER_COLUMN = 3  # of a history, or it would be fitted and not summed up
_CUT = 6.0  # standard errors beyond which a window counts for nothing
_NORMAL_SHARE_LEFT = 0.8925  # of the variance of a normal under that biweight: E[u r^2] / E[u]
_NORMAL_MEDIAN = 0.4549  # of the square of a standard normal
_ROUNDS = 12
_LEAST_POOLED = 20
_PRIOR = 4.0  # precision of hours and days of week: a standard deviation of 0.5 in log-odds
_LEAST_FITTED, _MOST_FITTED = 1e-6, 1 - 1e-6
_MOST_INFLATION = 10.0


@dataclass(frozen=True)
class Baseline:
    """What a history says of each of its labels.

    `coefficients` are (labels, columns), `covariances` (labels, columns, columns), `spreads` those of each label in
    each of `POOLS`.
    """

    coefficients: Floats
    covariances: Floats
    spreads: dict[int, Floats]
    has_week: bool
    slots: int

    def expected(self, times: npt.NDArray[np.datetime64], rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Expected share of each label in windows taken as one, and how much it varies.

        Args:
            times: of the windows, as many as one of `POOLS`, by the clocks that seasons follow.
            rows: of each.

        Returns:
            Shares, and as one number the spread and what the history leaves open of the share.
        """
        design = _design(times, self.slots, self.has_week)
        parts = _sigmoid(np.clip(design @ self.coefficients.T, -14, 14))
        weights = rows / rows.sum()
        open_ = ((design @ self.covariances) * design).sum(axis=2).T
        share = weights @ parts
        return share, np.minimum(0.5, self.spreads[len(times)] + weights @ (parts * (1 - parts) * open_))


def fit(
    times: npt.NDArray[np.datetime64],
    counts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    *,
    half_life_days: float,
    window_days: float,
) -> Baseline:
    """The baseline of a history.

    Args:
        times: when each window begins, ascending, by the clocks that seasons follow.
        counts: rows of each label in it, (windows, labels).
        rows: all rows of it, at least one.
        half_life_days: after which a window counts half.
        window_days: length of a window.
    """
    ages = (times[-1] - times) / np.timedelta64(1, "D")
    slots = max(1, min(_MOST_SLOTS, round(1 / window_days)))
    if len(times) < _WINDOWS_PER_COLUMN * (1 + slots):
        slots = 1
    is_seen = bool(ages[0] + window_days >= _DAYS_FOR_WEEK)
    has_week = is_seen and len(times) >= _WINDOWS_PER_COLUMN * (slots + 7)
    design = _design(times, slots, has_week)
    precision = np.full(design.shape[1], _PRIOR)
    precision[0] = 1.0  # about the mean share, see `center`
    total = rows.astype(np.float64)[:, None]
    shares = counts / total
    memory = 0.5 ** (ages / half_life_days)[:, None]
    center = _logit(_middle(shares, total))
    coefficients = _start(design, center, _logit((counts + 0.5) / (total + 1)), np.median(shares, axis=0) > 0)
    spread = np.full(counts.shape[1], 0.01)
    fits = np.ones_like(shares)
    information = np.zeros((counts.shape[1], design.shape[1], design.shape[1]))
    for number in range(_ROUNDS):
        log_odds = np.clip(design @ coefficients.T, -14, 14)
        fitted = np.clip(_sigmoid(log_odds), _LEAST_FITTED, _MOST_FITTED)
        binomial = fitted * (1 - fitted)
        raw = (shares - fitted) ** 2 * total / binomial  # 1 + (rows - 1) * spread on average
        if number:
            spread = _spread(raw, total, fits, design.shape[1], is_start=number < 3)
        scale = 1 + (total - 1) * spread
        fits = np.clip(1 - raw / scale / _CUT**2, 0, 1) ** 2
        weights = memory * fits * binomial * total / scale
        wanted = log_odds + (shares - fitted) / binomial - center
        information = (design.T[None] * weights.T[:, None, :]) @ design + np.diag(precision)
        moments = (weights * wanted).T @ design
        step = np.linalg.solve(information, moments[:, :, None])[:, :, 0]
        step[:, 0] += center
        coefficients = coefficients + np.clip(step - coefficients, -1, 1)
    residuals = np.sqrt(raw / scale) * np.sign(shares - fitted)
    inflation = _serial(residuals, fits)
    follows = np.diff(times) == np.timedelta64(round(window_days * 86_400), "s")
    spreads = {
        pool: _cautious(
            _pooled_spread(pool, follows, counts.astype(np.float64), fitted, total, fits, spread), len(rows)
        )
        for pool in POOLS
    }
    return Baseline(coefficients, np.linalg.inv(information) * inflation[:, None, None], spreads, has_week, slots)


def _design(times: npt.NDArray[np.datetime64], slots: int, has_week: bool) -> Floats:
    """Columns of windows: one, a column for each part of the day if it has several, and for each day of the week."""
    slot = np.floor((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D") * slots + 1e-9)
    columns = [np.ones(len(times))]
    if slots > 1:
        columns += [(slot == number).astype(np.float64) for number in range(slots)]
    if has_week:
        day = times.astype("datetime64[D]").astype(np.int64) % 7
        columns += [(day == number).astype(np.float64) for number in range(7)]
    return np.stack(columns, axis=1)


def _start(design: Floats, center: Floats, log_odds: Floats, is_frequent: npt.NDArray[np.bool_]) -> Floats:
    """Where to begin: each hour and each day of the week at the median of what is left, or sharp ones would not fit.

    Of rare labels most windows hold none, and medians say nothing; they begin without seasons.
    """
    coefficients = np.zeros((len(center), design.shape[1]))
    coefficients[:, 0] = center
    left = log_odds - center
    for column in range(1, design.shape[1]):
        own = design[:, column] > 0
        if own.any():
            coefficients[:, column] = np.where(is_frequent, np.median(left[own], axis=0), 0.0)
            left[own] -= coefficients[:, column]
    return coefficients


def _middle(shares: Floats, total: Floats) -> Floats:
    """A share of each label that outliers do not move; of rare ones, whose median is zero, the mean."""
    median = np.median(shares, axis=0)
    mean = ((shares * total).sum(axis=0) + 0.5) / (total.sum(axis=0) + 1)
    return np.clip(np.where(median > 0, median, mean), _LEAST_FITTED, _MOST_FITTED)


def _spread(raw: Floats, total: Floats, fits: Floats, parameters: int, *, is_start: bool) -> Floats:
    """The spread that makes squared residuals what they are; at the start by their median, which no outlier moves."""
    lost = len(raw) / max(1.0, len(raw) - parameters)
    if is_start:
        squared = np.median(raw, axis=0) / _NORMAL_MEDIAN
    else:
        squared = (fits * raw).sum(axis=0) / np.maximum(fits.sum(axis=0), 1) / _NORMAL_SHARE_LEFT
    typical = np.maximum((total * fits).sum(axis=0) / np.maximum(fits.sum(axis=0), 1) - 1, 1)
    result: Floats = np.clip((squared * lost - 1) / typical, LEAST_SPREAD, 0.5)
    return result


def _pooled_spread(
    pool: int,
    follows: npt.NDArray[np.bool_],
    counts: Floats,
    fitted: Floats,
    total: Floats,
    fits: Floats,
    single: Floats,
) -> Floats:
    """The spread of sums over `pool` windows in a row; that of `single` windows where the history has too few."""
    if pool == 1:
        return single
    firsts = len(total) - pool + 1
    in_a_row = np.ones(max(0, firsts), np.bool_)
    for step in range(pool - 1):
        in_a_row &= follows[step : step + len(in_a_row)]
    if in_a_row.sum() < _LEAST_POOLED:
        return single

    def summed(values: Floats) -> Floats:
        parts = [values[step : step + firsts][in_a_row] for step in range(pool)]
        result: Floats = np.sum(parts, axis=0)
        return result

    rows, expected = summed(total), summed(total * fitted)
    share = expected / rows
    raw = (summed(counts) - expected) ** 2 / (rows * share * (1 - share))
    weights = np.min([fits[step : step + firsts] for step in range(pool)], axis=0)[in_a_row]
    return _spread(raw, rows, weights, 0, is_start=False)


def _cautious(spread: Floats, windows: int) -> Floats:
    """One standard error above the estimate: the variance of a short history is not known well."""
    result: Floats = np.minimum(0.5, spread * (1 + np.sqrt(2 / windows)))
    return result


def _serial(residuals: Floats, fits: Floats) -> Floats:
    """How much less a history tells than its windows would if they were independent, by how alike neighbours are."""
    kept = np.clip(residuals, -3, 3) * np.sqrt(fits)
    alike = (kept[1:] * kept[:-1]).sum(axis=0) / np.maximum((kept**2).sum(axis=0), 1e-12)
    alike = np.clip(alike, 0, 0.99)
    result: Floats = np.minimum((1 + alike) / (1 - alike), _MOST_INFLATION)
    return result


def _sigmoid(log_odds: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-log_odds))
    return result


def _logit(share: Floats) -> Floats:
    result: Floats = np.log(share / (1 - share))
    return result
