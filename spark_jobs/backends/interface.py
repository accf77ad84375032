"""What a backend is, and how near its logits stay to those that were recorded of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from mapring.settings.backends import BackendName

Ids = npt.NDArray[np.int64]


class Backend(Protocol):
    """A model that is loaded."""

    padding_id: int

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C) of padded rows (B, T), whose mask is 0 where there is padding.

        `token_type_ids`, (B, T), are given for pairs; a model without token types passes over them.
        """


# Largest difference from golden logits, over a row's largest where that is above 1, on every machine. In fp32 machines
# sum in another order. With 8 bits of mantissa, or of integer, one sum in another order rounds to another number, and
# the layers above go on from there: of a row in batches of different shapes bf16 logits of 4 were seen to differ by
# 0.03.
GOLDEN_TOLERANCE: dict[BackendName, float] = {
    "torch": 1e-4,
    "torch-bf16": 0.15,
    "onnx": 1e-4,
    "onnx-int8": 0.15,
    "openvino": 1e-4,
    "openvino-bf16": 0.15,
    "openvino-int8-bf16": 0.15,
    "openvino-int8-token": 0.15,
    "openvino-int8-checked": 0.15,
}
