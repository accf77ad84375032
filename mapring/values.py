"""Numbers and times as texts write them; what is none is None, so that a reader can count it."""

from __future__ import annotations

import datetime
import json
import math

_DIGITS_OF_DATES = (8, 12)  # 20260131 is also a second of 1970, and 202601310600 one of the year 8390
_TRUTH = {"true": 1.0, "false": 0.0}


def number_text(value: float) -> str | None:
    """A number or truth value as JSON writes it, whatever the format; None where it is no finite number.

    NaN is how other libraries write that there is no value: as a text it would be a label and a group like others.
    """
    return None if isinstance(value, float) and not math.isfinite(value) else json.dumps(value)


def number_of(text: str) -> float | None:
    """The finite number that a text writes."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None  # Python alone reads 1_000 as a number


def feature_of(text: str) -> float | None:
    """The finite number that a text writes; true is 1 and false is 0, in any case."""
    truth = _TRUTH.get(text.strip().lower())
    return number_of(text) if truth is None else truth


def moment_of(text: str) -> datetime.datetime | None:
    """The moment that a text writes in ISO 8601, without a zone in UTC, or as seconds since 1970; it comes in UTC.

    Whole numbers of eight or twelve digits are None, however they are written, since they may be either; so is what
    lies outside the years 1 to 9999, as milliseconds since 1970 do.
    """
    text = text.strip()
    seconds = number_of(text)
    try:
        if seconds is not None:
            ambiguous = seconds > 0 and seconds.is_integer() and len(f"{seconds:.0f}") in _DIGITS_OF_DATES
            return None if ambiguous else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        found = datetime.datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
