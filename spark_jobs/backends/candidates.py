"""The graphs that backends need beyond the published model, and how fast and how true each backend is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mapring.contract import Manifest
from mapring.errors import PublishedError, StageError
from mapring.settings.backends import BackendName
from spark_jobs.backends.calibration import calibrate
from spark_jobs.backends.checked import margin_between
from spark_jobs.backends.first_token import first_token_only
from spark_jobs.backends.graphs import dense_inputs, with_int8_weights, with_static_scales, without_nan_guards
from spark_jobs.backends.loading import load_named, own_graph
from spark_jobs.forward import Forward

Floats = npt.NDArray[np.float32]
Sequences = Sequence[Sequence[int]]
GraphKind = Literal["fp32", "int8 weights", "int8 static"]

CHECKED: BackendName = "openvino-int8-checked"
GRAPH_OF: dict[BackendName, GraphKind] = {
    "onnx-int8": "int8 static",
    "openvino": "fp32",
    "openvino-bf16": "fp32",
    "openvino-int8-bf16": "int8 static",
    "openvino-int8-token": "int8 weights",
    CHECKED: "int8 weights",
}
_TIMED_TOKENS = 4096  # some 160 sentences: two full batches, a second for a small model on one thread
_TIMED_PASSES = 3  # the fastest counts, since other processes only slow it down


@dataclass
class Candidates:
    """Backends of one model in this process, none of them published yet.

    Args:
        model: its manifest, and `local` its directory on this host.
        folder: where graphs are made.
        calibration: training rows that int8 scales are made from.
        threads, device: what a task may use.
        batch_tokens: tokens of a padded batch, as when scoring.
    """

    model: Manifest
    local: Path
    folder: Path
    calibration: Sequences
    threads: int
    device: str
    batch_tokens: int
    _graphs: dict[GraphKind, Path] = field(default_factory=dict)
    _margin: float | None = None

    def graph(self, name: BackendName) -> Path | None:
        """The ONNX file that a backend needs, made at the first call; None where it takes the model as published."""
        kind = GRAPH_OF.get(name)
        if kind is None:
            return None
        if kind not in self._graphs:
            self._graphs[kind] = self._make(kind)
        return self._graphs[kind]

    def load(self, name: BackendName) -> Forward:
        """A backend that is ready to compute. Raises what the runtime raises where it cannot be loaded."""
        backend = load_named(
            name, self.local, self.model.details, self.graph(name), self.threads, self.device, self.margin(name)
        )
        return Forward(backend, len(self.model.details["labels"]), self.batch_tokens)

    def margin(self, name: BackendName) -> float | None:
        """Below which a checked backend computes a row again, from the calibration rows; None for all others."""
        if name != CHECKED:
            return None
        if self._margin is None:
            quick, exact = (
                finite_logits(self.load(part), self.calibration, "calibration")
                for part in ("openvino-int8-token", "openvino")
            )
            self._margin = margin_between(quick, exact)
        return self._margin

    def _make(self, kind: GraphKind) -> Path:
        import onnx

        model = first_token_only(without_nan_guards(onnx.load(own_graph(self.local, self.model.details))))
        if kind != "fp32" and not dense_inputs(model):
            raise PublishedError("the graph has no dense layers to round")
        if kind == "int8 static":
            model = with_static_scales(model, calibrate(model, self.calibration, self.threads))
        if kind != "fp32":
            model = with_int8_weights(model)
        path = self.folder / f"{kind.replace(' ', '-')}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        return path


def speed(forward: Forward, sequences: Sequences) -> float:
    """Rows per second of wall time, on about 4,000 tokens of them."""
    counts = np.cumsum([len(sequence) for sequence in sequences])
    timed = list(sequences[: 1 + int(np.searchsorted(counts, _TIMED_TOKENS))])
    forward(timed)  # runtimes plan and allocate at the first batch of each shape
    seconds = []
    for _ in range(_TIMED_PASSES):
        start = time.perf_counter()
        forward(timed)
        seconds.append(time.perf_counter() - start)
    return len(timed) / min(seconds)


def all_logits(forward: Forward, sequences: Sequences) -> Floats:
    """Logits (N, C); NaN in the rows that the backend fails on."""
    outcome = forward(sequences)
    logits = outcome.logits.copy()
    logits[list(outcome.failures)] = np.nan
    return logits


def finite_logits(forward: Forward, sequences: Sequences, what: str) -> Floats:
    """Logits (N, C) of rows that must not fail. Raises StageError where one does."""
    outcome = forward(sequences)
    for row, reason in outcome.failures.items():
        raise StageError(f"{what}: row {row} cannot be computed here ({reason})")
    return outcome.logits
