"""Causal language models in a worker: the logits of the next token at every place of a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.errors import PublishedError
from spark_jobs.backends.interface import Ids
from spark_jobs.backends.onnx_backend import open_graph
from spark_jobs.backends.torch_backend import has_token_types, load_transformer

Floats = npt.NDArray[np.float32]


class CausalBackend(ABC):
    """A language model that is loaded; `width` is the size of its vocabulary."""

    padding_id: int
    width: int

    @abstractmethod
    def next_tokens(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """Logits (B, T, V) of padded rows (B, T), whose padding is behind their tokens."""

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """Logits (B, V) in the middle of each row, at `length // 2`: what golden rows hold."""
        found = self.next_tokens(input_ids, attention_mask, token_type_ids)
        middle: Floats = found[np.arange(len(found)), attention_mask.sum(1) // 2]
        return middle


class TorchCausal(CausalBackend):
    """A stock transformers directory in fp32."""

    def __init__(self, directory: Path, threads: int) -> None:
        self.model = load_transformer("AutoModelForCausalLM", directory, threads)
        self.padding_id = int(self.model.config.pad_token_id or 0)
        self.width = int(self.model.config.vocab_size)

    def next_tokens(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """As `CausalBackend.next_tokens`."""
        import torch

        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and has_token_types(self.model):
            given["token_type_ids"] = token_type_ids
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values) for name, values in given.items()}
            found: Floats = self.model(**tensors, use_cache=False).logits.float().numpy()
        return found


class OnnxCausal(CausalBackend):
    """The graph of an LSTM."""

    padding_id = 0  # behind the tokens and masked out, so any id will do

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_graph(path, threads)
        self._names = [entry.name for entry in self._session.get_inputs()]
        self.width = int(self._session.get_outputs()[0].shape[-1])

    def next_tokens(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> Floats:
        """As `CausalBackend.next_tokens`."""
        types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": types}
        found: Floats = self._session.run(["logits"], {name: given[name] for name in self._names})[0]
        return found


def load_causal(directory: Path, details: Mapping[str, Any], threads: int) -> CausalBackend:
    """The model of a directory, by what its manifest says.

    Raises:
        PublishedError: it is neither a transformers directory nor a graph.
    """
    if details["transformers"] is not None:
        return TorchCausal(directory / details["transformers"], threads)
    if "onnx" in details:
        return OnnxCausal(directory / details["onnx"], threads)
    raise PublishedError(
        f"{directory}: found a language model with method {details['method']}, expected one that transformers or ONNX "
        "Runtime loads; train it with train.method=lora or full"
    )
