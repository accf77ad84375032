"""A published classifier, loaded once in a Python worker: texts in, label probabilities out.

Nothing here knows Spark. torch and transformers are imported on first use, so that a driver
which only plans a job needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

GOLDEN_TOLERANCE = 1e-4  # on fp32 logits; other machines sum in another order


class Predictor:
    """One model with its tokenizer and its text settings, checked against its golden rows.

    Raises:
        PublishedError: the model is not published, is damaged, or gives other logits here than
            where it was trained.
    """

    def __init__(self, model_directory: str, *, threads: int = 1, batch_tokens: int = 2048) -> None:
        self.manifest: Manifest = read_manifest(model_directory)
        if self.manifest.kind != "model":
            raise PublishedError(
                f"{model_directory}: found {self.manifest.kind}, expected a model; give models/<fingerprint>"
            )
        self.labels: list[str] = self.manifest.details["labels"]
        self.batch_tokens = batch_tokens
        details = self.manifest.details
        local = storage.localize(model_directory, Path.home() / ".cache" / "mapring")
        self._check_files(local)
        self._encoder = Encoder(local / details["tokenizer"], details["max_length"])
        self._normalization = Normalization.model_validate(details["text"])
        self._backend = load_backend(local, details, threads)
        self._replay_golden(local / details["golden"])

    def normalize(self, texts: pa.StringArray) -> pa.StringArray:
        """Normalize texts as the training data were."""
        return normalize(texts, self._normalization)

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities of the labels for normalized texts, (N, number of labels), in the order given."""
        result = np.zeros((len(texts), len(self.labels)), np.float32)
        for rows, logits in self._logits(self._encoder.encode(texts)):
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            result[rows] = shifted / shifted.sum(axis=1, keepdims=True)
        return result

    def _logits(self, sequences: Sequence[list[int]]) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
        for rows in token_batches([len(sequence) for sequence in sequences], self.batch_tokens):
            yield rows, self._forward([sequences[row] for row in rows])

    def _forward(self, sequences: list[list[int]]) -> npt.NDArray[np.float32]:
        width = max(map(len, sequences))
        input_ids = np.full((len(sequences), width), self._backend.padding_id, np.int64)  # (B, T)
        attention_mask = np.zeros((len(sequences), width), np.int64)  # (B, T)
        for row, sequence in enumerate(sequences):
            input_ids[row, : len(sequence)] = sequence
            attention_mask[row, : len(sequence)] = 1
        return self._backend.logits(input_ids, attention_mask)

    def _check_files(self, local: Path) -> None:
        """Refuse files of another size than published; `mapring verify` rechecks their bytes."""
        for entry in self.manifest.files:
            path = local / entry.path
            found = path.stat().st_size if path.is_file() else None
            if found != entry.bytes:
                raise PublishedError(
                    f"{path}: found {'nothing' if found is None else f'{found} bytes'}, expected {entry.bytes} bytes; "
                    "the model was damaged: remove its directory and train again"
                )

    def _replay_golden(self, path: Path) -> None:
        golden = pq.read_table(path).to_pydict()
        sequences = self._encoder.encode(golden["text"])
        for text, expected in zip(sequences, golden["input_ids"], strict=True):
            if text != expected:
                raise PublishedError(
                    f"{path}: golden rows tokenize otherwise here; the tokenizer is not the model's: train again"
                )
        for rows, logits in self._logits(sequences):
            difference = float(np.abs(logits - np.array([golden["logits"][row] for row in rows])).max())
            if not difference <= GOLDEN_TOLERANCE:
                raise PublishedError(
                    f"{path}: golden rows give other logits here (largest difference {difference:.2g}, allowed "
                    f"{GOLDEN_TOLERANCE:.0e}); compare the torch and transformers versions with those of the training"
                )


def token_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Cut rows into batches of similar length whose padded size is at most `batch_tokens`.

    Yields row numbers; every row comes once, and a row longer than the budget comes alone.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) + 1) * lengths[row] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@lru_cache(maxsize=2)  # a worker that outlives a change of model must not keep all of them
def load_predictor(model_directory: str, threads: int, batch_tokens: int) -> Predictor:
    """The predictor of this Python worker: loaded at the first call, then reused for all its tasks."""
    return Predictor(model_directory, threads=threads, batch_tokens=batch_tokens)
