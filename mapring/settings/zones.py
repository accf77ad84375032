"""Names of time zones as settings have them."""

from __future__ import annotations

import difflib
import zoneinfo


def known_zone(value: str) -> str:
    """The name as it is. Raises ValueError, with the nearest name there is, where no such zone is known here."""
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = difflib.get_close_matches(value, zoneinfo.available_timezones(), n=1)
        hint = f"did you mean {close[0]}?" if close else "expected an IANA name, such as Europe/Berlin or UTC"
        raise ValueError(f"found {value!r}, which is no time zone known here; {hint}") from None
    return value
