"""The trained model as one ONNX file, proven equal on the golden rows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mapring.errors import SettingsError, StageError, in_one_line
from mapring.progress import bytes_text
from mapring.settings.train import ModelSource
from training.golden import GoldenRow, middle_logits
from training.lstm_graph import has_graph, lstm_graph
from training.methods import is_stock
from training.model import config_of
from training.tasks.interface import Task

TOLERANCE = 1e-4  # largest difference from torch's output in fp32, over its size where that is above 1
# Above it torch's exporter writes the weights into a file beside the graph (2.13); a graph of 2 GiB nothing can read.
LARGEST_GRAPH = 1536 * 1024**2  # bytes of weights
_OPSET = 18


class GraphTooLargeError(StageError):
    """A model whose weights are more than one ONNX file holds."""


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


def check_graph_size(task: Task, model: nn.Module, source: ModelSource) -> None:
    """Refuse a model that only a graph can be scored by, and that has more weights than a graph holds.

    Args:
        task: what the model is for.
        model: with its method in it, before the training.
        source: of the model.

    Raises:
        SettingsError: it is none that transformers loads, and too large.
    """
    size = _weight_bytes(model)
    if size > LARGEST_GRAPH and can_export(task, model) and not is_stock(model):
        raise SettingsError(
            f"train.model: found {bytes_text(size)} of weights in {source}, expected at most "
            f"{bytes_text(LARGEST_GRAPH)} of a model that is scored by an ONNX graph, as transformers cannot load it; "
            "take a smaller one, or train.method=lora or full with a model of transformers"
        )


def export_onnx(task: Task, model: nn.Module, golden: list[GoldenRow]) -> bytes:
    """Export a model with free batch and sequence sizes, and replay the golden rows with ONNX Runtime.

    Inputs are int64 tensors (B, T) `input_ids`, `attention_mask`, and `token_type_ids` where the
    model has token types; the output, by the task's name for it, is `logits`, float32 (B, C), or (B, T, V) of a
    language model, or `embedding`, (B, H).

    Raises:
        GraphTooLargeError: the weights are more than a graph holds.
        StageError: the model cannot be exported, or its output differs.
    """
    _refuse_large(_weight_bytes(model))
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
        weights = (value.const_value for value in program.model.graph.initializers.values())
        _refuse_large(sum(weight.nbytes for weight in weights if weight is not None))  # some are stored twice
        program.save(path, external_data=False)
        return path.read_bytes()


def _weight_bytes(model: nn.Module) -> int:
    """Of a model in fp32, tied weights once."""
    return sum(4 * parameter.numel() for parameter in model.parameters())


def _refuse_large(size: int) -> None:
    if size > LARGEST_GRAPH:
        raise GraphTooLargeError(
            f"found {bytes_text(size)} of weights, expected at most {bytes_text(LARGEST_GRAPH)} in one ONNX file; "
            "train a smaller model"
        )


def _replay(content: bytes, names: list[str], output_name: str, golden: list[GoldenRow]) -> None:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        outputs = (session.run([output_name], _graph_inputs(row, names))[0] for row in golden)
        replayed = [middle_logits(torch.from_numpy(output))[0].numpy() for output in outputs]
    except Exception as error:  # its errors have no class of their own
        raise StageError(
            f"ONNX Runtime cannot compute the exported model ({in_one_line(error)}), expected it to replay the golden "
            "rows; another version of torch or onnxruntime may help"
        ) from None
    for row, output in zip(golden, replayed, strict=True):
        expected = np.array(row.output, np.float32)
        worst = float(np.abs(output - expected).max())
        if not worst <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise StageError(
                f"the ONNX export differs by {worst:.1e} from the trained model on a golden row, expected at most "
                f"{TOLERANCE:.0e}; another version of torch or onnxruntime may help"
            )


def _graph_inputs(row: GoldenRow, names: list[str]) -> dict[str, npt.NDArray[np.int64]]:
    ids = np.array([row.input_ids], np.int64)
    types = np.zeros_like(ids)
    if row.second_start is not None:
        types[:, row.second_start :] = 1
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
    return {name: inputs[name] for name in names}
