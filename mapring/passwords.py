"""Passwords in addresses, which no message, log or page may show."""

from __future__ import annotations

import re

NOT_SHOWN = "(not shown)"
_USER = re.compile(r"(?<=://)(?:[^/\s@]*:[^\s,]*|[^/\s@,]+)@")


def without_users(text: str) -> str:
    """The text, in whose addresses user and password are not shown: `https://(not shown)@host/path`."""
    return _USER.sub(f"{NOT_SHOWN}@", text)
