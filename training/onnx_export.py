"""The trained model as one ONNX file, proven equal on the golden rows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mapring.errors import StageError, in_one_line
from training.golden import GoldenRow, middle_logits
from training.lstm_graph import has_graph, lstm_graph
from training.model import config_of
from training.tasks.interface import Task

TOLERANCE = 1e-4  # largest difference from torch's output in fp32, over its size where that is above 1
_OPSET = 18


class _Output(nn.Module):
    """The model with tensors in and one tensor out, as an ONNX graph has them."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self.task.output(self.model, {"input_ids": input_ids, "attention_mask": attention_mask, **types})


def can_export(task: Task, model: nn.Module) -> bool:
    """Whether a model is also published as a graph: what the task wants so, and every LSTM."""
    return task.exports_onnx or has_graph(model)


def export_onnx(task: Task, model: nn.Module, golden: list[GoldenRow]) -> bytes:
    """Export a model with free batch and sequence sizes, and replay the golden rows with ONNX Runtime.

    Inputs are int64 tensors (B, T) `input_ids`, `attention_mask`, and `token_type_ids` where the
    model has token types; the output, by the task's name for it, is `logits`, float32 (B, C), or (B, T, V) of a
    language model, or `embedding`, (B, H).

    Raises:
        StageError: the model cannot be exported, or its output differs.
    """
    names = ["input_ids", "attention_mask"]
    if int(getattr(config_of(model), "type_vocab_size", 0) or 0) > 1:
        names.append("token_type_ids")
    content = lstm_graph(model, _OPSET) if has_graph(model) else _exported(task, model, names)
    _replay(content, names, task.output_name, golden)
    return content


def _exported(task: Task, model: nn.Module, names: list[str]) -> bytes:
    sample = {name: torch.ones(2, 7, dtype=torch.int64) for name in names}
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own use of deprecated calls
        path = Path(folder, "model.onnx")
        logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # misses torchvision
        try:
            program = torch.onnx.export(
                _Output(task, model).eval(),
                kwargs=sample,
                input_names=names,
                output_names=[task.output_name],
                dynamic_shapes=dict.fromkeys(names, free),
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = in_one_line(error)
            raise StageError(f"the model cannot be exported to ONNX: {reason}") from None
        assert program is not None
        for node in program.model.graph:
            for value in node.outputs:
                if value.name == task.output_name and value not in program.model.graph.outputs:
                    value.name = f"{value.name}_inside"  # the exporter calls values by what makes them: embedding
        program.save(path, external_data=False)
        return path.read_bytes()


def _replay(content: bytes, names: list[str], output_name: str, golden: list[GoldenRow]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for row in golden:
        ids = np.array([row.input_ids], np.int64)
        types = np.zeros_like(ids)
        if row.second_start is not None:
            types[:, row.second_start :] = 1
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
        found = session.run([output_name], {name: inputs[name] for name in names})[0]
        output = middle_logits(torch.from_numpy(found))[0].numpy()
        expected = np.array(row.output, np.float32)
        worst = float(np.abs(output - expected).max())
        if not worst <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise StageError(
                f"the ONNX export differs by {worst:.1e} from the trained model on a golden row, expected at most "
                f"{TOLERANCE:.0e}; another version of torch or onnxruntime may help"
            )
