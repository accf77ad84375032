"""What a manifest records about its own making and no fingerprint holds: the code and the time."""

from __future__ import annotations

import datetime
import functools
import subprocess
from pathlib import Path

import mapring


@functools.cache
def code_version() -> str:
    """The package version, with the commit where the code runs from a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return mapring.__version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return mapring.__version__
    return f"{mapring.__version__}+{found}"


def utc_now() -> str:
    """The time in UTC, in seconds, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
