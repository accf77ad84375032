"""Inputs that are still those whose identity a stage's output will carry."""

from __future__ import annotations

from collections.abc import Iterable

from mapring.errors import StageError
from mapring.lineage import SourceFile, content_identity


def check_unchanged(files: Iterable[SourceFile]) -> None:
    """Refuse what was made of an input that is no longer the one whose identity it would carry.

    Raises:
        StageError: a file has another content than when the plan was made.
    """
    for file in files:
        found = content_identity(file.uri)
        if found != file.identity:
            raise StageError(
                f"{file.uri}: changed while it was read (found {found}, expected {file.identity}); nothing was "
                "published. Run the command again when it is complete"
            )
