"""Folders of data that are not fetched: an environment variable names each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def given_folder(variable: str, files: Sequence[str], what: str) -> Path:
    """The folder that an environment variable names.

    Args:
        variable: its name.
        files: that the folder must hold, as paths inside it.
        what: they are, in words, for the error.

    Raises:
        FileNotFoundError: the variable is not set, or a file is missing.
    """
    folder = os.environ.get(variable)
    missing = [name for name in files if folder is None or not Path(folder, name).exists()]
    if folder is None or missing:
        raise FileNotFoundError(
            f"{variable}: found {folder}, expected a folder with {', '.join(files)} of {what}"
            f" (missing: {', '.join(missing)}); set it to one"
        )
    return Path(folder)
