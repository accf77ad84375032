"""What static scales of int8 are made from: ranges of each dense layer's input on training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spark_jobs.backends.graphs import Channels, Floats, dense_inputs

if TYPE_CHECKING:
    from onnx import ModelProto


def calibrate(model: ModelProto, sequences: Sequence[Sequence[int]], threads: int) -> dict[str, Channels]:
    """Least and largest values of the channels of each dense layer's input, over all tokens of these rows.

    Rows are computed one by one, so that there is no padding to be measured.
    """
    import onnx
    import onnxruntime

    names = dense_inputs(model)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {entry.name for entry in watched.graph.output}
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = [entry.name for entry in session.get_inputs()]
    low: dict[str, Floats] = {}
    high: dict[str, Floats] = {}
    for sequence in sequences:
        ids = np.array([sequence], np.int64)  # (1, T)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found = session.run(names, {name: given[name] for name in wanted})
        for name, values in zip(names, found, strict=True):
            tokens = values.reshape(-1, values.shape[-1])  # (T, K)
            low[name] = np.minimum(low.get(name, np.inf), tokens.min(axis=0))
            high[name] = np.maximum(high.get(name, -np.inf), tokens.max(axis=0))
    return {name: Channels(low[name], high[name]) for name in names}
