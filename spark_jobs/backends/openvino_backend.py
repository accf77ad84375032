"""An ONNX graph in OpenVINO: in fp32 or bf16, with int8 layers of static scales, or of scales for each token."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.first_token import LEAST_ROWS
from spark_jobs.backends.interface import Ids
from spark_jobs.backends.text_vectors import OUTPUTS, beside, graph_with_vectors

if TYPE_CHECKING:
    from openvino import Core


class OpenVinoBackend:
    """A graph with inputs of ids, mask and maybe token types, and one output.

    Args:
        path: of the ONNX file.
        threads: of OpenVINO.
        precision: of everything that is not int8 in the graph; bf16 becomes f32 where the CPU has no bf16.
        token_group: channels of one token that share a scale where a layer has int8 weights and float inputs, which
            are then rounded to int8, too; 0 leaves them as they are.
        padding_id: the id that rows are filled up with, as OnnxBackend has it.
        vectors: whether to give the vectors of the texts behind the logits, see text_vectors.py.
    """

    def __init__(
        self,
        path: Path,
        threads: int,
        *,
        precision: Literal["f32", "bf16"],
        token_group: int = 0,
        padding_id: int = 0,
        vectors: bool = False,
    ) -> None:
        self.padding_id = padding_id
        compiled = _core().compile_model(
            _core().read_model(graph_with_vectors(path) if vectors else str(path)),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,  # else all workers of a host compute on its first core
                "INFERENCE_PRECISION_HINT": precision,
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": token_group,
            },
        )
        made = {name for entry in compiled.outputs for name in entry.names}
        self._vectors = [name for name in OUTPUTS if name in made]
        self._request = compiled.create_infer_request()
        self._names = [entry.any_name for entry in compiled.inputs]

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C), and behind them the vectors where they are asked for."""
        types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        if 0 < input_ids.size < LEAST_ROWS:  # a row or two of three tokens
            again = [np.repeat(values, LEAST_ROWS, axis=0) for values in (input_ids, attention_mask, types)]
            return self.logits(*again)[::LEAST_ROWS]
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": types}
        found = self._request.infer({name: given[name] for name in self._names}, share_inputs=True)
        values: npt.NDArray[np.float32] = found["logits"].copy()  # the request writes the next batch into the same
        return beside(values, *(found[name] for name in self._vectors)) if self._vectors else values


@cache
def _core() -> Core:
    """OpenVINO, for the whole life of the process.

    A Core gives its thread a signal stack of its own, and its end puts back the one before it. Where two Cores overlap
    and the first ends first, the second puts back freed memory: the next signal, a SIGTERM too, is then a segmentation
    fault (2026.4).
    """
    import openvino

    return openvino.Core()
