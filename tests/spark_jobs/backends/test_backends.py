"""Every backend gives the labels of fp32 within its precision, and a row the same logits in whatever batch it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mapring import local_copies
from mapring.contract import read_manifest
from mapring.settings.backends import BACKENDS, BackendName
from spark_jobs.backends.candidates import Candidates
from spark_jobs.backends.rows import read_rows
from spark_jobs.forward import Forward
from tests.spark_jobs.backends.tiny_run import TinyRun

FP32 = {"torch", "onnx", "openvino"}
BF16 = {"torch-bf16", "openvino-bf16", "openvino-int8-bf16"}
# Mean difference of logits, whose deviation is 1.4: the tiny model's random weights are 20 times a trained one's.
MEAN_DIFFERENCE = {name: 1e-5 if name in FP32 else 0.08 if name in BF16 else 0.2 for name in BACKENDS}
MEAN_DIFFERENCE["openvino-int8-bf16"] = 0.2
# In bf16 a sum in another order rounds to another number of 8 bits, a step of 1/32 for logits of 4 to 8.
BATCH_DIFFERENCE = {name: 0.07 if name in BF16 else 1e-5 for name in BACKENDS}
Load = Callable[[BackendName], Forward]


@pytest.fixture
def load(made_run: TinyRun, tmp_path: Path) -> Load:
    candidates = Candidates(
        model=read_manifest(made_run.model),
        local=local_copies.localize(made_run.model, tmp_path),
        folder=tmp_path,
        calibration=read_rows(made_run.shards, read_manifest(made_run.shards), "train", 100).input_ids,
        threads=1,
        device="cpu",
        batch_tokens=512,
    )
    return candidates.load


@pytest.mark.parametrize("name", BACKENDS)
def test_logits_are_those_of_torch_within_the_precision(load: Load, made_run: TinyRun, name: BackendName) -> None:
    rows = made_run.validation()
    expected, found = load("torch")(rows).logits, load(name)(rows).logits
    assert expected.argmax(1).max() > expected.argmax(1).min(), "rows of several labels"
    difference = np.abs(found - expected).mean()
    assert difference <= MEAN_DIFFERENCE[name]
    if name not in FP32:
        assert difference > 1e-3, "it computes in another precision"
    assert (found.argmax(1) == expected.argmax(1)).mean() >= (1 if name in FP32 else 0.93)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_batch_changes_no_row(load: Load, made_run: TinyRun, name: BackendName) -> None:
    """Alone without padding, in large batches, and beside rows with other values: the scales belong to no batch."""
    rows = made_run.validation()[:40]
    forward = load(name)
    together = forward(rows).logits
    forward.budget.batch_tokens = 64
    assert np.abs(forward(rows).logits - together).max() <= BATCH_DIFFERENCE[name]
    alone = np.concatenate([forward([row]).logits for row in rows])
    assert np.abs(alone - together).max() <= BATCH_DIFFERENCE[name]
    assert (alone.argmax(1) == together.argmax(1)).all()
