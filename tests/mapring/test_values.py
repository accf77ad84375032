"""Numbers and times as texts write them, and what is refused for being neither or both."""

from __future__ import annotations

import datetime

import pytest

from mapring.values import feature_of, moment_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T06:00:00", "2026-01-31T06:00:00+00:00"),
        (" 2026-01-31 06:00:00+02:00 ", "2026-01-31T04:00:00+00:00"),
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T06:00:00.123456Z", "2026-01-31T06:00:00.123456+00:00"),
        ("20260131T0600", "2026-01-31T06:00:00+00:00"),
        ("1769839200", "2026-01-31T06:00:00+00:00"),
        ("1769839200.25", "2026-01-31T06:00:00.250000+00:00"),
        ("1.7698392e9", "2026-01-31T06:00:00+00:00"),
        ("-1", "1969-12-31T23:59:59+00:00"),
        ("-1234567", "1969-12-17T17:03:53+00:00"),
    ],
)
def test_a_time_is_iso_or_seconds(text: str, expected: str) -> None:
    found = moment_of(text)
    assert found is not None and found.isoformat() == expected
    assert found.tzinfo is datetime.UTC


@pytest.mark.parametrize(
    "text",
    [
        "20260131",
        "20260131.0",
        "202601310600",
        "1769839200000",
        "31.01.2026",
        "06:00",
        "inf",
        "1e400",
        "yesterday",
        "0001-01-01T00:00+05:00",
    ],
)
def test_what_is_no_time_or_may_be_two_is_none(text: str) -> None:
    assert moment_of(text) is None


def test_a_feature_is_a_finite_number_or_a_truth() -> None:
    found = [feature_of(text) for text in ("1", " -2.5e3 ", "true", "False", "1_000", "inf", "nan", "1,5", "x")]
    assert found == [1.0, -2500.0, 1.0, 0.0, None, None, None, None, None]
