"""The trained model as one ONNX file, proven equal on the golden rows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mapring.errors import StageError
from training.golden import GoldenRow, middle_logits
from training.lstm_graph import lstm_graph
from training.model import config_of
from training.own_architectures import LstmClassifier

TOLERANCE = 1e-4  # largest difference of a logit from torch's in fp32
_OPSET = 18


class _Logits(nn.Module):
    """The model with tensors in and one tensor out, as an ONNX graph has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **types).logits
        return logits


def export_onnx(model: nn.Module, golden: list[GoldenRow]) -> bytes:
    """Export a model with free batch and sequence sizes, and replay the golden rows with ONNX Runtime.

    Inputs are int64 tensors (B, T) `input_ids`, `attention_mask`, and `token_type_ids` where the
    model has token types; the output is `logits`, float32 (B, C), or (B, T, V) of a
    language model.

    Raises:
        StageError: the model cannot be exported, or its logits differ.
    """
    names = ["input_ids", "attention_mask"]
    if int(getattr(config_of(model), "type_vocab_size", 0) or 0) > 1:
        names.append("token_type_ids")
    content = lstm_graph(model, _OPSET) if isinstance(model, LstmClassifier) else _exported(model, names)
    _replay(content, names, golden)
    return content


def _exported(model: nn.Module, names: list[str]) -> bytes:
    sample = {name: torch.ones(2, 7, dtype=torch.int64) for name in names}
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own use of deprecated calls
        path = Path(folder, "model.onnx")
        logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # misses torchvision
        try:
            torch.onnx.export(
                _Logits(model).eval(),
                kwargs=sample,
                f=path,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(names, free),
                opset_version=_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = " ".join(str(error).split())[:300]
            raise StageError(f"the model cannot be exported to ONNX: {reason}") from None
        return path.read_bytes()


def _replay(content: bytes, names: list[str], golden: list[GoldenRow]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for row in golden:
        ids = np.array([row.input_ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found = session.run(["logits"], {name: inputs[name] for name in names})[0]
        logits = middle_logits(torch.from_numpy(found))[0].numpy()
        worst = float(np.abs(logits - np.array(row.logits, np.float32)).max())
        if not worst <= TOLERANCE:
            raise StageError(
                f"the ONNX export differs by {worst:.1e} from the trained model on a golden row, expected at most "
                f"{TOLERANCE:.0e}; another version of torch or onnxruntime may help"
            )
