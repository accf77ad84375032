"""Vectors of texts, by torch or ONNX Runtime: of each text the mean of its tokens' hidden states, of length 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids
from spark_jobs.backends.onnx_backend import open_graph
from spark_jobs.backends.torch_backend import load_transformer


def load_embeddings(directory: Path, details: Mapping[str, Any], threads: int) -> TorchEmbeddings | OnnxEmbeddings:
    """The model of a directory, by what its manifest says."""
    if details["transformers"] is not None:
        return TorchEmbeddings(directory / details["transformers"], threads)
    return OnnxEmbeddings(directory / details["onnx"], threads)


class TorchEmbeddings:
    """A stock transformers directory in fp32; what `training/tasks/embedding.py` calls the output."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._model = load_transformer("AutoModel", directory, threads)
        self.padding_id = int(self._model.config.pad_token_id or 0)
        self.width = int(self._model.config.hidden_size)

    def logits(
        self, input_ids: Ids, attention_mask: Ids, _token_type_ids: Ids | None = None
    ) -> npt.NDArray[np.float32]:
        """Vectors (B, H); the texts are single ones."""
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            ids, given = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
            hidden = self._model(input_ids=ids, attention_mask=given).last_hidden_state.float()  # (B, T, H)
            mask = given.unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            found: npt.NDArray[np.float32] = functional.normalize(mean, dim=-1).numpy()
        return found


class OnnxEmbeddings:
    """The graph of a model that transformers cannot load, such as one with adapters."""

    padding_id = 0  # masked out, so any id will do

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_graph(path, threads)
        self._names = [entry.name for entry in self._session.get_inputs()]
        self.width = int(self._session.get_outputs()[0].shape[-1])

    def logits(
        self, input_ids: Ids, attention_mask: Ids, _token_type_ids: Ids | None = None
    ) -> npt.NDArray[np.float32]:
        """Vectors (B, H); the texts are single ones."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros_like(input_ids)}
        names = {name: given[name] for name in self._names}
        found: npt.NDArray[np.float32] = self._session.run(["embedding"], names)[0]
        return found
