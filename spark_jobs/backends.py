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

    def logits(self, input_ids: Ids, attention_mask: Ids) -> npt.NDArray[np.float32]:
        """Logits (B, C) of padded rows (B, T), whose mask is 0 where there is padding."""


def load_backend(directory: Path, details: Mapping[str, Any], threads: int) -> Backend:
    """The model of a directory, by what its manifest says."""
    if details["transformers"] is not None:
        return TorchBackend(directory / details["transformers"], threads)
    return OnnxBackend(directory / details["onnx"], threads)


class TorchBackend:
    """A stock transformers directory in fp32."""

    def __init__(self, directory: Path, threads: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file must fail, not reach for a hub
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self._model = AutoModelForSequenceClassification.from_pretrained(
            directory, local_files_only=True, dtype=torch.float32
        ).eval()
        self.padding_id = int(self._model.config.pad_token_id or 0)

    def logits(self, input_ids: Ids, attention_mask: Ids) -> npt.NDArray[np.float32]:
        """Logits (B, C)."""
        import torch

        with torch.inference_mode():
            ids, mask = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
            found: npt.NDArray[np.float32] = self._model(input_ids=ids, attention_mask=mask).logits.float().numpy()
        return found


class OnnxBackend:
    """An ONNX graph: models with adapters or prefixes, and architectures that transformers does not have."""

    padding_id = 0  # masked out, so any id will do

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [entry.name for entry in self._session.get_inputs()]

    def logits(self, input_ids: Ids, attention_mask: Ids) -> npt.NDArray[np.float32]:
        """Logits (B, C)."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros_like(input_ids)}
        found: npt.NDArray[np.float32] = self._session.run(["logits"], {name: given[name] for name in self._names})[0]
        return found
