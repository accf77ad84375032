"""A published classifier, loaded once in a Python worker: texts in, label probabilities out.

Nothing here knows Spark. torch and transformers are imported on first use, so that a driver
which only plans a job needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest, read_manifest
from mapring.errors import PublishedError
from mapring.settings.normalization import Normalization
from mapring.text import Encoder, normalize
from spark_jobs.backends import load_backend
from spark_jobs.backends.published import check_files, golden_problem, open_backend
from spark_jobs.forward import Forward, Outcome


@dataclass(frozen=True)
class Prediction:
    """`probabilities` (N, number of labels), which mean nothing in the rows that `outcome.failures` names."""

    probabilities: npt.NDArray[np.float32]
    outcome: Outcome


class Predictor:
    """One model with its tokenizer and its text settings, checked against its golden rows.

    Args:
        model_directory: where it is published.
        backend_directory: where a backend of it is published; None for the model itself, in fp32.
        threads, device: what the task may use.
        batch_tokens: tokens of one padded batch.

    Raises:
        PublishedError: the model is not published, is damaged, or gives other logits here than
            where it was trained.
    """

    def __init__(
        self,
        model_directory: str,
        *,
        backend_directory: str | None = None,
        threads: int = 1,
        batch_tokens: int = 2048,
        device: str = "cpu",
    ) -> None:
        self.manifest: Manifest = read_manifest(model_directory)
        if self.manifest.kind != "model":
            raise PublishedError(
                f"{model_directory}: found {self.manifest.kind}, expected a model; give models/<fingerprint>"
            )
        self.labels: list[str] = self.manifest.details["labels"]
        details = self.manifest.details
        local = storage.localize(model_directory, Path.home() / ".cache" / "mapring")
        check_files(local, self.manifest, "the model was damaged: remove its directory and train again")
        self._encoder = Encoder(local / details["tokenizer"], details["max_length"])
        self._normalization = Normalization.model_validate(details["text"])
        self._published = None if backend_directory is None else open_backend(backend_directory, self.manifest)
        load = load_backend if self._published is None else self._published.load
        self._forward = Forward(load(local, details, threads, device), len(self.labels), batch_tokens)
        self._replay_golden(local / details["golden"])

    def normalize(self, texts: pa.StringArray) -> pa.StringArray:
        """Normalize texts as the training data were."""
        return normalize(texts, self._normalization)

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Probabilities of the labels for normalized texts, in the order given, and what failed."""
        outcome = self._forward(self._encoder.encode(texts))
        shifted = np.exp(outcome.logits - outcome.logits.max(axis=1, keepdims=True, initial=-np.inf))
        return Prediction(shifted / shifted.sum(axis=1, keepdims=True), outcome)

    def _replay_golden(self, path: Path) -> None:
        golden = pq.read_table(path).to_pydict()
        sequences = self._encoder.encode(golden["text"])
        for text, expected in zip(sequences, golden["input_ids"], strict=True):
            if text != expected:
                raise PublishedError(
                    f"{path}: golden rows tokenize otherwise here; the tokenizer is not the model's: train again"
                )
        outcome = self._forward(sequences)
        for row, reason in outcome.failures.items():
            raise PublishedError(f"{path}: golden row {row} cannot be computed here ({reason}); train again")
        chosen = self._published
        name = "torch" if chosen is None else chosen.name
        expected = np.array(golden["logits"], np.float32) if chosen is None else chosen.golden()
        problem = golden_problem(name, expected, outcome.logits)
        if problem is not None:
            where, made = (path, "the training") if chosen is None else (chosen.directory, f"the backend {name}")
            raise PublishedError(
                f"{where}: golden rows {problem}; compare the torch, onnxruntime and openvino versions with those of "
                f"{made}"
            )


@lru_cache(maxsize=2)  # a worker that outlives a change of model must not keep all of them
def load_predictor(
    model_directory: str, threads: int, batch_tokens: int, backend_directory: str | None = None, device: str = "cpu"
) -> Predictor:
    """The predictor of this Python worker: loaded at the first call, then reused for all its tasks."""
    return Predictor(
        model_directory, backend_directory=backend_directory, threads=threads, batch_tokens=batch_tokens, device=device
    )
