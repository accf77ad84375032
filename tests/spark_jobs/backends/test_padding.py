"""Graphs of decoders look for padding to find a row's last token: it is filled up with the model's own id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from mapring.settings.backends import BackendName
from spark_jobs.backends.loading import load_backend, load_named
from spark_jobs.forward import Forward
from training.onnx_export import export_onnx
from training.tasks.classification import Classification

PADDING = 5
ROWS = [[7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17, 18, 19, 20], [21]]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A decoder that classifies, as a graph, and its logits of each row alone."""
    torch.manual_seed(2)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32}
    config = GPT2Config(vocab_size=60, pad_token_id=PADDING, num_labels=2, **sizes)
    model = GPT2ForSequenceClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("decoder")
    (folder / "model.onnx").write_bytes(export_onnx(Classification(["a", "b"], seed=1), model, []))
    with torch.no_grad():
        return folder, np.array([model(input_ids=torch.tensor([row])).logits[0].tolist() for row in ROWS])


@pytest.mark.parametrize("name", [None, "onnx", "openvino"])
def test_rows_of_several_lengths_have_the_logits_of_each_alone(
    decoder: tuple[Path, np.ndarray], name: BackendName | None
) -> None:
    folder, expected = decoder
    details = {"transformers": None, "onnx": "model.onnx", "padding_id": PADDING}
    backend = load_backend(folder, details, 1) if name is None else load_named(name, folder, details, None, 1, "cpu")
    assert Forward(backend, 2, 512)(ROWS).logits == pytest.approx(expected, abs=1e-4)
