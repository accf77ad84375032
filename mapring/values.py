"""Numbers and times as texts write them; what is none is None, so that a reader can count it."""

from __future__ import annotations

import datetime
import json
import math
import re

_MAY_BE_A_DATE = re.compile(r"\d{8}")  # 20260131: also a second of 1970
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

    Eight digits alone are None, since they may be either; so is what lies outside the years 1 to 9999, as
    milliseconds since 1970 do.
    """
    text = text.strip()
    seconds = number_of(text)
    try:
        if seconds is not None:
            ambiguous = _MAY_BE_A_DATE.fullmatch(text) is not None
            return None if ambiguous else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        found = datetime.datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
