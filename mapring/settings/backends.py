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
EXACT_BACKENDS: tuple[BackendName, ...] = ("torch", "onnx", "openvino")  # in fp32: their vectors are those of a bank
