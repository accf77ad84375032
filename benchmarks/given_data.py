"""Folders of data that are not fetched: an environment variable names each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_ENCODER_FILES = ("config.json", "model.safetensors", "tokenizer.json")


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


def larger_encoder() -> Path:
    """The folder of an encoder that the user gives.

    Raises:
        FileNotFoundError: it is not there.
    """
    return given_folder("LARGER_ENCODER", _ENCODER_FILES, "an encoder for transformers, such as all-mpnet-base-v2")
