"""Which backend a worker loads: the model's own fp32, or one that was published for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapring.errors import PublishedError
from mapring.settings.backends import EXACT_BACKENDS, BackendName
from spark_jobs.backends.checked import CheckedBackend
from spark_jobs.backends.interface import Backend
from spark_jobs.backends.onnx_backend import OnnxBackend
from spark_jobs.backends.openvino_backend import OpenVinoBackend
from spark_jobs.backends.torch_backend import TorchBackend

BY_TOKEN: tuple[BackendName, ...] = ("openvino-int8-token", "openvino-int8-checked")
TOKEN_GROUP = 384  # channels with a scale of their own: smaller groups cost speed, larger ones agreement


def load_backend(
    directory: Path, details: Mapping[str, Any], threads: int, device: str = "cpu", *, vectors: bool = False
) -> Backend:
    """The fp32 model of a directory: torch where stock transformers loads it, else ONNX Runtime.

    With `vectors` those of the texts stand behind the logits, see text_vectors.py.
    """
    if details["transformers"] is not None:
        return TorchBackend(directory / details["transformers"], threads, device=device, vectors=vectors)
    return OnnxBackend(directory / details["onnx"], threads, padding_id=_padding(details), vectors=vectors)


def load_named(
    name: BackendName,
    directory: Path,
    details: Mapping[str, Any],
    graph: Path | None,
    threads: int,
    device: str,
    margin: float | None = None,
    *,
    vectors: bool = False,
) -> Backend:
    """One backend of a model.

    Args:
        name: of the backend.
        directory: of the model.
        details: of its manifest.
        graph: an ONNX file that was made for this backend, where it needs one.
        threads: that the task may use.
        device: that the task may use; only torch does.
        margin: below which a checked backend computes a row again.
        vectors: whether those of the texts stand behind the logits, see text_vectors.py; only of fp32.

    Raises:
        PublishedError: the model was not published in the form that the backend needs.
    """
    if vectors and name not in EXACT_BACKENDS:
        raise PublishedError(f"found {name}, which rounds vectors, expected {', '.join(EXACT_BACKENDS)}")
    if name == "torch":
        return load_backend(directory, details, threads, device, vectors=vectors)
    if name == "torch-bf16":
        if details["transformers"] is None:
            raise PublishedError("the model is none that transformers loads")
        return TorchBackend(directory / details["transformers"], threads, dtype="bfloat16", device=device)
    path = own_graph(directory, details) if graph is None else graph
    padding = _padding(details)
    if name.startswith("onnx"):
        return OnnxBackend(path, threads, padding_id=padding, vectors=vectors)
    if name == "openvino":
        return OpenVinoBackend(path, threads, precision="f32", padding_id=padding, vectors=vectors)
    if name not in BY_TOKEN:
        return OpenVinoBackend(path, threads, precision="bf16", padding_id=padding)
    quick = OpenVinoBackend(path, threads, precision="bf16", token_group=TOKEN_GROUP, padding_id=padding)
    if margin is None:
        return quick
    exact = OpenVinoBackend(own_graph(directory, details), threads, precision="f32", padding_id=padding)
    return CheckedBackend(quick, exact, margin)


def _padding(details: Mapping[str, Any]) -> int:
    """The id that rows are filled up with; models that were published before it was noted take any."""
    return int(details.get("padding_id", 0))


def own_graph(directory: Path, details: Mapping[str, Any]) -> Path:
    """The ONNX graph of a model. Raises PublishedError where it was published without one."""
    name = details.get("onnx")
    if name is None:
        raise PublishedError("the model was published without an ONNX graph")
    return directory / str(name)
