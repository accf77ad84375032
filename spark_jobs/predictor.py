"""A published model, loaded once in a Python worker: texts in, what the model puts out for them out.

Nothing here knows Spark. torch and transformers are imported on first use, so that a driver
which only plans a job needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mapring.contract import Manifest
from mapring.errors import PublishedError
from mapring.pairs import split_pair
from mapring.settings.combinations import TaskName
from mapring.settings.normalization import Normalization
from mapring.text import Encoder, normalize
from spark_jobs.backends import Backend, load_backend
from spark_jobs.backends.published import golden_problem, open_backend
from spark_jobs.forward import Forward, Outcome
from spark_jobs.local_copy import local_copy
from spark_jobs.modes.causal import CausalBackend, load_causal
from spark_jobs.modes.embedding import load_embeddings
from spark_jobs.modes.likelihood import Likelihoods
from spark_jobs.published_model import DAMAGED_MODEL, PublishedModel, read_published_model
from spark_jobs.retrieval.bank import Bank
from spark_jobs.retrieval.products import Vectors

if TYPE_CHECKING:
    from spark_jobs.modes.generation import Generator

GOLDEN_TOLERANCE = 1e-4  # on fp32 outputs, over their size where that is above 1; other machines sum in another order


@dataclass(frozen=True)
class Encoded:
    """Token ids of texts; of pairs also the place of each second text's first token."""

    ids: Sequence[Sequence[int]]
    second_starts: Sequence[int] | None = None


class Predictor:
    """One model with its tokenizer and its text settings, checked against its golden rows.

    Args:
        model_directory: where it is published.
        backend_directory: where a backend of it is published; None for the model itself, in fp32.
        threads, device: what the task may use.
        batch_tokens: tokens of one padded batch.
        bank_directory: where a bank of templates that it embedded is published; None for no bank.
        vectors: whether a classifier also gives vectors, for a bank; with one it does.

    Raises:
        PublishedError: the model is not published, is damaged, or puts out other numbers here than
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
        bank_directory: str | None = None,
        vectors: bool = False,
    ) -> None:
        published = read_published_model(model_directory)
        self.published: PublishedModel = published
        self.manifest: Manifest = published.manifest
        self.task: TaskName = published.task
        self.is_pair = published.is_pair
        details = self.manifest.details
        self.labels: list[str] = details["labels"]
        self.temperature: float = details.get("temperature") or 1.0  # none was fitted: as the model's softmax is
        self.batch_tokens = batch_tokens
        local = local_copy(model_directory, self.manifest, DAMAGED_MODEL)
        self._tokenizer = local / details["tokenizer"]
        self.max_length: int = details["max_length"]
        self.encoder = Encoder(self._tokenizer, self.max_length)
        self._normalization = Normalization.model_validate(details["text"])
        self._chosen = None if backend_directory is None else open_backend(backend_directory, self.manifest)
        self._has_vectors = self.task == "classify" and (vectors or bank_directory is not None)
        self._golden = local / details["golden"]
        self._backend, self._width, behind = self._load(local, threads, device)
        self._forward = Forward(self._backend, self._width + behind, batch_tokens)
        self._replay_golden()
        self.bank = None if bank_directory is None else self._open_bank(bank_directory, threads)

    def normalize(self, texts: pa.StringArray) -> pa.StringArray:
        """Normalize texts as the training data were."""
        return normalize(texts, self._normalization)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of normalized texts, or of pairs that `mapring.pairs` has joined, as in training."""
        if not self.is_pair:
            return Encoded(self.encoder.encode(texts))
        return Encoded(*self.encoder.encode_pairs([split_pair(text) for text in texts]))

    def outputs(self, encoded: Encoded) -> Outcome:
        """What the model puts out: logits of labels (N, C), numbers (N, 1), vectors (N, H); and what failed."""
        return self.outputs_and_vectors(encoded)[0]

    def outputs_and_vectors(self, encoded: Encoded) -> tuple[Outcome, Vectors]:
        """As `outputs`, and by the same pass the vectors of a classifier that has them, (N, H), of length 1.

        Of a model of task embed both are the same; of others there are none, (N, 0).
        """
        outcome = self._forward(encoded.ids, encoded.second_starts)
        if self.task == "embed":
            return outcome, outcome.logits
        own, vectors = np.split(outcome.logits, [self._width], axis=1)
        return replace(outcome, logits=own), np.ascontiguousarray(vectors)

    @cached_property
    def likelihoods(self) -> Forward:
        """Gives the mean negative log likelihood of sequences, (N, 1); of a causal language model."""
        assert isinstance(self._backend, CausalBackend)
        return Forward(Likelihoods(self._backend), 1, self.batch_tokens)

    @cached_property
    def generator(self) -> Generator:
        """Continues texts; of a causal language model that transformers loads.

        Raises:
            PublishedError: golden rows that are read token by token come to other logits.
        """
        from spark_jobs.modes.causal import TorchCausal
        from spark_jobs.modes.generation import Generator

        assert isinstance(self._backend, TorchCausal)
        found = Generator(self._backend, self._tokenizer, self.max_length, self.batch_tokens)
        golden = pq.read_table(self._golden, columns=["input_ids", "logits"]).to_pylist()
        rows = [row for row in golden if len(row["input_ids"]) > 1]  # else there is no step to hold against them
        if not rows:
            return found
        try:
            logits = found.middle_logits([row["input_ids"] for row in rows])
        except TypeError as error:
            raise PublishedError(f"{self.published.directory}: {error}; ask for mode perplexity") from None
        self._hold("logits, from one token to the next,", logits, np.array([row["logits"] for row in rows]))
        return found

    def _open_bank(self, directory: str, threads: int) -> Bank:
        bank = Bank(directory, self.manifest, threads)
        bank.check(self.outputs_and_vectors(self.encode(bank.golden.column("text").to_pylist()))[1])
        return bank

    def _load(self, local: Path, threads: int, device: str) -> tuple[Backend, int, int]:
        """What computes the outputs of the task, how many numbers they are for a row, and how many of a vector."""
        details = self.manifest.details
        if self.task == "mlm":
            raise PublishedError(
                f"{self.published.directory}: found a model of task mlm, which predicts hidden tokens and scores no "
                "text; expected one of another task"
            )
        if self.task == "embed":
            vectors = load_embeddings(local, details, threads)
            return vectors, vectors.width, 0
        if self.task == "clm":
            language = load_causal(local, details, threads)
            return language, language.width, 0
        load = load_backend if self._chosen is None else self._chosen.load
        classes = len(self.labels) or 1
        if not self._has_vectors:
            return load(local, details, threads, device), classes, 0
        try:
            backend = load(local, details, threads, device, vectors=True)
            ids = np.array(pq.read_table(self._golden, columns=["input_ids"])[0][:1].to_pylist(), np.int64)  # (1, T)
            tried = backend.logits(ids, np.ones_like(ids))
        except PublishedError as error:
            raise PublishedError(f"{self.published.directory}: {error}") from None
        return backend, classes, tried.shape[1] - classes

    def _replay_golden(self) -> None:
        path = self._golden
        golden = pq.read_table(path).to_pydict()
        starts: list[int] | None = golden.get("second_start")
        rows = [row for row, text in enumerate(golden["text"]) if text is not None]  # packed shards hold no texts
        encoded = self.encode([golden["text"][row] for row in rows])
        expected_starts = None if starts is None else [starts[row] for row in rows]
        if encoded.ids != [golden["input_ids"][row] for row in rows] or encoded.second_starts != expected_starts:
            raise PublishedError(
                f"{path}: golden rows tokenize otherwise here; the tokenizer is not the model's: train again"
            )
        outcome = self.outputs(Encoded(golden["input_ids"], starts))
        for row, reason in outcome.failures.items():
            raise PublishedError(f"{path}: golden row {row} cannot be computed here ({reason}); train again")
        if self._chosen is not None:
            problem = golden_problem(
                self._chosen.name, self._chosen.golden(), outcome.logits, self._chosen.margin or 0.0
            )
            if problem is not None:
                raise PublishedError(
                    f"{self._chosen.directory}: golden rows {problem}; compare the torch, onnxruntime and openvino "
                    f"versions with those of the backend {self._chosen.name}, or remove its directory to choose again"
                )
            return
        name = "embedding" if self.task == "embed" else "logits"
        self._hold(name, outcome.logits, np.array(golden[name]))

    def _hold(self, name: str, found: npt.NDArray[np.float32], expected: npt.NDArray[np.float64]) -> None:
        """Refuse outputs (N, ...) of golden rows that are not those of the training."""
        difference = np.abs(found - expected)
        allowed = GOLDEN_TOLERANCE * np.maximum(1.0, np.abs(expected).max(axis=1, keepdims=True))
        if not (difference <= allowed).all():
            raise PublishedError(
                f"{self._golden}: golden rows give other {name} here (largest difference "
                f"{float(difference.max()):.2g}, allowed {GOLDEN_TOLERANCE:.0e}); compare the torch and transformers "
                "versions with those of the training"
            )


@lru_cache(maxsize=2)  # a worker that outlives a change of model must not keep all of them
def load_predictor(
    model_directory: str,
    threads: int,
    batch_tokens: int,
    backend_directory: str | None = None,
    device: str = "cpu",
    bank_directory: str | None = None,
    vectors: bool = False,
) -> Predictor:
    """The predictor of this Python worker: loaded at the first call, then reused for all its tasks."""
    return Predictor(
        model_directory,
        backend_directory=backend_directory,
        threads=threads,
        batch_tokens=batch_tokens,
        device=device,
        bank_directory=bank_directory,
        vectors=vectors,
    )
