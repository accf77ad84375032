"""Errors meant for users: what was found, what was expected, what to do next."""

from __future__ import annotations

from mapring.passwords import without_users

_READ = 3000  # characters of a library's message; they are looked through for passwords


class MapringError(Exception):
    """A failure that is explained to the user in one line, without a stack trace."""

    exit_code = 1


class SettingsError(MapringError):
    """The configuration, or something it names, is wrong; raised before any stage starts."""

    exit_code = 2


class InputError(MapringError):
    """The data itself is wrong beyond what may be quarantined."""


class PublishedError(MapringError):
    """A published directory is missing, damaged, or does not fit what refers to it."""


class DiskFullError(MapringError):
    """There is no room for what is to be written."""


class StageError(MapringError):
    """A stage ended without publishing its result."""


def in_one_line(error: Exception) -> str:
    """What a library says, as part of a sentence: without line breaks and passwords, at most 300 characters of it."""
    return " ".join(without_users(str(error)[:_READ]).split())[:300]
