"""What computes the logits of a published model: torch where stock transformers loads it, else ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class Backend(Protocol):
    """A model that is loaded."""

    padding_id: int

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C) of padded rows (B, T), whose mask is 0 where there is padding.

        `token_type_ids`, (B, T), are given for pairs; a model without token types passes over them.
        """


def load_backend(directory: Path, details: Mapping[str, Any], threads: int) -> Backend:
    """The model of a directory, by what its manifest says."""
    if details["transformers"] is not None:
        return TorchBackend(directory / details["transformers"], threads)
    return OnnxBackend(directory / details["onnx"], threads)


def load_transformer(auto_class: str, directory: Path, threads: int) -> Any:
    """A stock transformers directory in fp32, by the class of transformers that loads it, on `threads` threads."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file must fail, not reach for a hub
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    auto = getattr(transformers, auto_class)
    return auto.from_pretrained(directory, local_files_only=True, dtype=torch.float32).eval()


def open_graph(path: Path, threads: int) -> Any:
    """An ONNX graph on `threads` threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class TorchBackend:
    """A stock transformers directory in fp32."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._model = load_transformer("AutoModelForSequenceClassification", directory, threads)
        self.padding_id = int(self._model.config.pad_token_id or 0)

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C)."""
        import torch

        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and has_token_types(self._model):
            given["token_type_ids"] = token_type_ids
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values) for name, values in given.items()}
            found: npt.NDArray[np.float32] = self._model(**tensors).logits.float().numpy()
        return found


def has_token_types(model: Any) -> bool:
    """Whether a model of transformers tells the two texts of a pair apart."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


class OnnxBackend:
    """An ONNX graph: models with adapters or prefixes, and architectures that transformers does not have."""

    padding_id = 0  # masked out, so any id will do

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_graph(path, threads)
        self._names = [entry.name for entry in self._session.get_inputs()]

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C)."""
        types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": types}
        found: npt.NDArray[np.float32] = self._session.run(["logits"], {name: given[name] for name in self._names})[0]
        return found
