"""The backends that score: which runtime computes a model's logits, and in what precision."""

from __future__ import annotations

from typing import Literal, get_args

BackendName = Literal[
    "torch",
    "torch-bf16",
    "onnx",
    "onnx-int8",
    "openvino",
    "openvino-bf16",
    "openvino-int8-bf16",
    "openvino-int8-token",
    "openvino-int8-checked",
]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
UNGATED: BackendName = "torch"  # what the others are held against
EXACT_BACKENDS: tuple[BackendName, ...] = ("torch", "onnx", "openvino")  # in fp32: their vectors are those of a bank


def backend_refusal(backend: str, task: str, has_pairs: bool) -> str | None:
    """Why a backend, or auto, cannot be held against fp32 for a model of a task; None where it can."""
    if backend == UNGATED:
        return None
    if task != "classify":
        return (
            f"backend: found {backend} for a model of the task {task}, whose agreement with fp32 is not measured, "
            f"expected {UNGATED}; set score.backend={UNGATED}"
        )
    if has_pairs:
        return (
            f"backend: found {backend} for a model of pairs, whose agreement with fp32 is not measured, expected "
            f"{UNGATED}; set score.backend={UNGATED}"
        )
    return None
