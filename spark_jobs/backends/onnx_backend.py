"""An ONNX graph in ONNX Runtime: fp32 as it was published, or with int8 layers of static scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids
from spark_jobs.backends.text_vectors import OUTPUTS, beside, graph_with_vectors


class OnnxBackend:
    """A graph with inputs of ids, mask and maybe token types, and one output.

    Also models with adapters or prefixes, and architectures that transformers does not have, are published as one.

    Args:
        path: of the ONNX file.
        threads: of ONNX Runtime.
        padding_id: the id that rows are filled up with. It is masked out, but the graph of a decoder looks for it to
            find the last token.
        vectors: whether to give the vectors of the texts behind the logits, see text_vectors.py.
    """

    def __init__(self, path: Path, threads: int, *, padding_id: int = 0, vectors: bool = False) -> None:
        self.padding_id = padding_id
        self._session = open_graph(path, threads, vectors=vectors)
        made = {entry.name for entry in self._session.get_outputs()}
        self._outputs = ["logits", *(name for name in OUTPUTS if name in made)]
        self._names = [entry.name for entry in self._session.get_inputs()]

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C), and behind them the vectors where they are asked for."""
        types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": types}
        found = self._session.run(self._outputs, {name: given[name] for name in self._names})
        logits: npt.NDArray[np.float32] = found[0]
        return beside(*found) if len(found) > 1 else logits


def open_graph(path: Path, threads: int, *, vectors: bool = False) -> Any:
    """An ONNX graph on `threads` threads; with `vectors` it has the outputs of `graph_with_vectors`, too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graph = str(path) if not vectors else graph_with_vectors(path)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
