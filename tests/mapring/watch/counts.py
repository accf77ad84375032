"""Made-up counts of labels, and what is found in them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from mapring.settings.alerts import Surges
from mapring.watch.findings import Finding
from mapring.watch.series import Series, read_series
from mapring.watch.surges import Evaluation, find_surges

HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)  # a Monday
SHARES = {"calm": 0.6, "rare": 0.1, "warm": 0.3}
MODEL = "0" * 16


def row(hour: int, label: str | None, rows: int, source: str = "shop", model: str = MODEL) -> dict[str, object]:
    """One count, in the hour after `START` of that number."""
    return {
        "source": source,
        "window_start": START + hour * HOUR,
        "label": label,
        "model_fingerprint": model,
        "rows": rows,
    }


def hour_rows(
    hour: int, share: float | None = None, rows: int = 1000, source: str = "shop", model: str = MODEL
) -> list[dict[str, object]]:
    """Counts of an hour, with a daily season and noise of 4 %; with `share` of the label `rare`, if one is given."""
    random = np.random.default_rng([hour, sum(source.encode())])
    odds = np.array([SHARES["calm"], SHARES["rare"] * (1 + 0.3 * np.sin(hour / 24 * 2 * np.pi)), SHARES["warm"]])
    odds = odds * np.exp(random.normal(0, 0.04, 3))
    shares = odds / odds.sum()
    if share is not None:
        shares = np.array([shares[0] * (1 - share) / (1 - shares[1]), share, shares[2] * (1 - share) / (1 - shares[1])])
    counts = random.multinomial(rows, shares)
    return [row(hour, label, int(count), source, model) for label, count in zip(SHARES, counts, strict=True)]


def hours(
    last: int, surges: Mapping[int, float] | None = None, first: int = 0, **how: object
) -> list[dict[str, object]]:
    """Counts of the hours from `first` up to `last`, which is not among them; surges are shares of `rare` by hour."""
    found = surges or {}
    return [one for hour in range(first, last) for one in hour_rows(hour, found.get(hour), **how)]  # type: ignore[arg-type]


def table(rows: list[dict[str, object]]) -> pa.Table:
    """As scores are counted."""
    schema = pa.schema(
        {
            "source": pa.string(),
            "window_start": pa.timestamp("us", "UTC"),
            "label": pa.string(),
            "model_fingerprint": pa.string(),
            "rows": pa.int64(),
        }
    )
    return pa.Table.from_pylist(rows, schema)


def evaluate(rows: list[dict[str, object]], judged: range, *args: object, **named: object) -> Evaluation:
    """What is found in hours of a number."""
    settings = named.pop("settings", Surges())
    series = read_series(table(rows))
    return find_surges(series, in_all(series, judged), settings, HOUR, *args, **named)  # type: ignore[arg-type]


def in_all(
    series: Sequence[Series], judged: Iterable[int], length: datetime.timedelta = HOUR
) -> dict[str, list[np.datetime64]]:
    """Windows by number, for all sources."""
    windows = [np.datetime64((START + number * length).replace(tzinfo=None), "us") for number in judged]
    return {one.source: windows for one in series}


def hour_of(moment: datetime.datetime | None) -> int:
    """The number of the hour that begins at a moment."""
    assert moment is not None
    return round((moment - START) / HOUR)


def drift(quantity: str, source: str | None, first: int, last: int) -> Finding:
    """A finding of drift from an hour up to another one."""
    return Finding(
        kind="drift",
        quantity=quantity,
        source=source,
        window_start=START + first * HOUR,
        window_end=START + last * HOUR,
        observed=0.4,
        expected=0.02,
        statistic=9.0,
        q_value=0.001,
        rows=1000,
        model_fingerprint=MODEL,
    )


def surge_of_label(
    label: str, source: str, start: datetime.datetime, end: datetime.datetime, *, model: str, group: str | None = None
) -> Finding:
    """A finding that a label surges between two moments."""
    return Finding(
        kind="surge",
        quantity=label,
        source=source,
        group=group,
        window_start=start,
        window_end=end,
        observed=0.5,
        expected=0.1,
        statistic=0.0,
        q_value=0.0,
        rows=100,
        model_fingerprint=model,
    )
