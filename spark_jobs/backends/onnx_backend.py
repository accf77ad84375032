"""An ONNX graph in ONNX Runtime: fp32 as it was published, or with int8 layers of static scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids


class OnnxBackend:
    """A graph with inputs of ids, mask and maybe token types, and one output.

    Also models with adapters or prefixes, and architectures that transformers does not have, are published as one.
    """

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


def open_graph(path: Path, threads: int) -> Any:
    """An ONNX graph on `threads` threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
