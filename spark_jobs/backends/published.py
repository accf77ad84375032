"""A backend as it is published: beside the model that it belongs to, never inside of its directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import contract, storage
from mapring.contract import RECORD_NAME, Manifest
from mapring.errors import PublishedError
from mapring.settings.backends import BACKENDS, BackendName
from spark_jobs.backends.interface import GOLDEN_TOLERANCE, Backend
from spark_jobs.backends.loading import load_named
from spark_jobs.local_copy import local_copy
from spark_jobs.published_model import read_made_for
from spark_jobs.tables import parquet_bytes

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PublishedBackend:
    """A backend that passed the gate; `directory` is local and whole."""

    name: BackendName
    directory: Path
    manifest: Manifest

    @property
    def margin(self) -> float | None:
        """Below which a checked backend computes a row again; None of all others."""
        found: float | None = self.manifest.details.get("margin")
        return found

    def load(
        self, model: Path, details: Mapping[str, Any], threads: int, device: str, *, vectors: bool = False
    ) -> Backend:
        """Load it for its model's directory and details; `vectors` as `load_named` has it."""
        graph = self.manifest.details["graph"]
        path = None if graph is None else self.directory / graph
        return load_named(self.name, model, details, path, threads, device, self.margin, vectors=vectors)

    def golden(self) -> Floats:
        """Its own logits of the model's golden rows, (N, C)."""
        table = pq.read_table(self.directory / self.manifest.details["golden"])
        return np.array(table.column("logits").to_pylist(), np.float32)


def open_backend(directory: str, model: Manifest) -> PublishedBackend:
    """The backend of a directory, which must have been made for this model.

    Raises:
        PublishedError: nothing is published there, or it is damaged, or belongs to another model.
    """
    manifest = read_made_for(directory, "backend", model.fingerprint, "choose again")
    name = manifest.details["backend"]
    if name not in BACKENDS:
        raise PublishedError(f"{directory}: found the backend {name!r}, which this version does not have")
    local = local_copy(directory, manifest, "the backend was damaged: remove its directory and score again")
    return PublishedBackend(name, local, manifest)


def publish_backend(
    directory: str,
    *,
    name: BackendName,
    fingerprint: str,
    graph: Path | None,
    golden: Floats,
    settings: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    details: Mapping[str, Any],
) -> bool:
    """Publish a backend with its graph, if it has one, and its logits of the model's golden rows.

    Returns:
        False where another attempt was faster: then that one's stands.
    """
    files = []
    if graph is not None:
        content = graph.read_bytes()
        files.append(contract.write_file(directory, contract.content_name("graph", content, ".onnx"), content))
    table = pa.table({"logits": pa.array(golden.tolist(), pa.list_(pa.float32()))})
    content = parquet_bytes(table, len(table))
    files.append(
        contract.write_file(directory, contract.content_name("golden", content, ".parquet"), content, len(table))
    )
    manifest = Manifest(
        kind="backend",
        fingerprint=fingerprint,
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings=settings,
        inputs=tuple(inputs),
        files=tuple(files),
        details={
            **details,
            "backend": name,
            "graph": None if graph is None else files[0].path,
            "golden": files[-1].path,
        },
    )
    return contract.publish(directory, manifest)


def link_to(kind: str, directory: str, fingerprint: str) -> Mapping[str, Any]:
    """How a manifest names a published directory that it was made from."""
    record = storage.read_bytes(storage.join(directory, RECORD_NAME))
    return {"kind": kind, "fingerprint": fingerprint, "record_sha256": hashlib.sha256(record).hexdigest()}


def golden_problem(name: BackendName, expected: Floats, found: Floats, margin: float = 0.0) -> str | None:
    """What is wrong with logits (N, C) of golden rows; None where they are as recorded.

    Besides the tolerance each row must have its label, unless its two best are nearer than the tolerance. A row near
    the `margin` of a checked backend may be computed by another part of it here, and move by about as much.
    """
    allowed = GOLDEN_TOLERANCE[name] * np.maximum(1.0, np.abs(expected).max(axis=1)) + margin  # (N,)
    differences = np.abs(found - expected).max(axis=1)
    if not (differences <= allowed).all():
        row = int(np.argmax(~(differences <= allowed)))
        return (
            f"give other logits here (row {row} differs by {float(differences[row]):.2g}, allowed "
            f"{float(allowed[row]):.2g})"
        )
    best = np.sort(expected, axis=1)
    is_clear = best[:, -1] - best[:, -2] > allowed
    other = np.flatnonzero(is_clear & (found.argmax(axis=1) != expected.argmax(axis=1)))
    return f"have another label here (row {other[0]})" if len(other) else None
