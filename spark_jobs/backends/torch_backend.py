"""A stock transformers directory in torch: fp32, or weights and arithmetic in bf16; on the CPU or a task's GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids


class TorchBackend:
    """A classifier that transformers loads.

    Args:
        directory: of the model's configuration and weights.
        threads: of torch, for the whole process.
        dtype: of weights and activations.
        device: `cpu`, or `cuda:N` where Spark gave the task a GPU.
    """

    def __init__(
        self,
        directory: Path,
        threads: int,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file must fail, not reach for a hub
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        model = AutoModelForSequenceClassification.from_pretrained(
            directory, local_files_only=True, dtype=getattr(torch, dtype)
        )
        self._model = model.eval().to(device)
        self._device = device
        self.padding_id = int(self._model.config.pad_token_id or 0)

    def logits(self, input_ids: Ids, attention_mask: Ids) -> npt.NDArray[np.float32]:
        """Logits (B, C)."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(input_ids).to(self._device)
            mask = torch.from_numpy(attention_mask).to(self._device)
            found = self._model(input_ids=ids, attention_mask=mask).logits
            values: npt.NDArray[np.float32] = found.float().cpu().numpy()
        return values
