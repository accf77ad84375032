"""An encoder five times as large as the one that comes in a package: a directory that the environment names.

The figures were made with all-mpnet-base-v2 (Song et al. 2020; Apache-2.0; 109 million parameters, as many as BERT-base
has), which is not fetched: `LARGER_ENCODER` names the folder that transformers loads it from.
"""

from __future__ import annotations

from typing import Any

from benchmarks.given_data import given_folder

_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def with_larger_encoder(values: dict[str, Any], **train: Any) -> dict[str, Any]:
    """A config's values with that encoder and its tokenizer, and other settings of the training.

    Raises:
        FileNotFoundError: it is not there.
    """
    folder = str(given_folder("LARGER_ENCODER", _FILES, "an encoder for transformers, such as all-mpnet-base-v2"))
    return {
        **values,
        "preprocess": {**values["preprocess"], "tokenizer": folder},
        "train": {**values["train"], "model": folder, **train},
    }
